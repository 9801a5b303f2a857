"""Pictures of what a run trains on."""

import numpy as np

from data.batch import Batch
from engine.hooks import Hook
from engine.trainer import Trainer
from tracking.records import Records

_COUNT = 16  # images of a phase


class TrainingSamples(Hook):
    """Hands the first images of each phase to the records, from the host's own copy of a batch. On the main rank."""

    def __init__(self, records: Records) -> None:
        self._records, self._wanted = records, True

    def on_phase(self, trainer: Trainer) -> None:
        self._wanted = True

    def after_step(self, trainer: Trainer) -> None:
        if self._wanted and trainer.batch is not None:
            self._wanted = False
            name = f"phase-{trainer.phase.number + 1}"
            self._records.pictures(name, trainer.step, sample_images(trainer.batch))


def sample_images(batch: Batch) -> np.ndarray:
    """The first images of a rank's batch as the network sees them, (N, H, W, 3) uint8 RGB, their own memory."""
    images = batch.images[:_COUNT].copy()
    if batch.mirrored is not None:
        mirrored = batch.mirrored[:_COUNT]
        images[mirrored] = images[mirrored, :, ::-1]
    return np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images
