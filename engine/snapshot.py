"""A run as a checkpoint."""

from pathlib import Path

import numpy as np

from engine.batchnorm import rank_statistics
from engine.checkpoint import save_checkpoint
from engine.checkpoint_names import MEANS, of_centers
from engine.identity import learned_from, run_identity
from engine.phase_step import trained_with
from engine.trainer import Trainer
from utils.config import dump_config


def save_run(trainer: Trainer, backbone: dict[str, np.ndarray]) -> Path:
    """Writes a checkpoint into the run's output, backbone as `Trainer.backbone_state` gives it. A collective.

    Raises OSError, on every rank.
    """
    cfg, runtime, saving = trainer.cfg, trainer.runtime, trainer.store.saving(trainer.step)
    about = run_identity(cfg, trainer.num_classes, trainer.phase) | {
        "step": trainer.step,
        "ranks": runtime.ranks,
        "data_digest": trainer.data_digest,
        "phase": trainer.phase.number,
        "best": trainer.best,
        "best_step": trainer.best_step,
        "best_of": trainer.best_of,
        **trained_with(trainer.phase.cfg),
        **learned_from(trainer.phase.cfg, trainer.modules.taught_by),
        "config": dump_config(cfg),
    }
    if saving.about:
        about["head_files"] = saving.about
    arrays = {MEANS: trainer.class_means.rows} if trainer.class_means else {}
    saves_centers = cfg.model_parallel or runtime.is_main  # else every rank has all of them
    if saves_centers:
        arrays |= {of_centers(name)[0]: rows for name, rows in saving.arrays.items()}
    return save_checkpoint(
        trainer.output / "checkpoints",
        about,
        backbone,
        trainer.train_step.state() | trainer.modules.state(),
        arrays,
        rank_statistics(trainer.backbone),
        runtime,
        cfg.keep_checkpoints,
        saving.flush,
    )
