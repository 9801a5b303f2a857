"""A picture of what augmentation does, to look at before training with it."""

from collections.abc import Mapping

import cv2
import numpy as np

from data.augment.augmenter import Augmenter
from data.augment.choices import OPERATIONS

_MARGIN = 120  # pixels to the left, for names
_GAP = 2


def augmentation_sheet(
    images: np.ndarray, records: np.ndarray, probabilities: Mapping[str, float], seed: int, epochs: int = 3
) -> np.ndarray:
    """A sheet (H, W, 3) uint8 RGB with a column for each image and a row each for: the images as they are, every
    operation alone and always applied, and whole epochs as a run with `seed` sees them, but for mirroring.

    images: (N, H, W, 3) uint8 RGB; records: (N,) their numbers in the dataset.
    """
    rows: dict[str, np.ndarray | list[np.ndarray]] = {"as it is": images}
    for name in filter(probabilities.get, OPERATIONS):
        rows[name] = _augmented(images, records, Augmenter({name: 1.0}, seed), 0)
    for epoch in range(epochs):
        rows[f"epoch {epoch}"] = _augmented(images, records, Augmenter(probabilities, seed), epoch)
    return np.vstack([_row(name, pictures) for name, pictures in rows.items()])


def _augmented(images: np.ndarray, records: np.ndarray, augmenter: Augmenter, epoch: int) -> list[np.ndarray]:
    return [augmenter(*sample) for sample in zip(images, augmenter.numbers(epoch, records), strict=True)]


def _row(name: str, pictures: np.ndarray | list[np.ndarray]) -> np.ndarray:
    height = len(pictures[0])
    label = np.full((height, _MARGIN, 3), 255, np.uint8)
    cv2.putText(label, name, (4, height // 2 + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    row = [label, *pictures]
    return np.hstack([np.pad(tile, ((_GAP, _GAP), (_GAP, _GAP), (0, 0)), constant_values=255) for tile in row])
