"""What a run is, in words and numbers for those who look at it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.network import image_shape
from engine.phase import Phase
from engine.phase_step import trained_with
from engine.trainer import Trainer
from tracking.facts import config_facts, version_facts
from utils.pixels import size_words


def run_facts(trainer: Trainer) -> dict[str, Any]:
    """Facts for `tracking.records.Records.describe`, of JSON's types, before the first step of the process."""
    cfg, runtime = trainer.cfg, trainer.runtime
    parameters = sum(parameter.numel() for parameter in trainer.backbone.parameters())
    images, size = trainer.loaders[0].num_image, f"{cfg.embedding_size} numbers an embedding"
    return {
        "total_steps": trainer.total_steps,
        "global_batch": trainer.phase.global_batch,
        "summary": {
            "network": f"{cfg.network}, {parameters / 1e6:,.2f} M parameters, {size}",
            "loss": "; ".join(dict.fromkeys(_loss(phase) for phase in trainer.phases)),
            "data": f"{cfg.ofrecord_path or 'synthetic'}: {images:,} images of {trainer.num_classes:,} identities",
            "images": f"{size_words(image_shape(cfg))}{', gray' if cfg.gray else ''}",
            "augmentation": ", ".join(f"{name} {share:g}" for name, share in cfg.augment.items()) or "none",
            "global batch": f"{trainer.phase.global_batch:,} images on {runtime.ranks} {runtime.device} rank(s)",
            "length": f"{trainer.total_steps:,} steps in {trainer.phases[-1].epoch(trainer.total_steps)} epoch(s)",
            "digest of the data": trainer.data_digest or "",
        },
        "phases": phase_facts(trainer.phases),
        "config": [list(setting) for setting in config_facts(cfg)],
        "versions": version_facts(),
    }


def phase_facts(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """Steps [first, stop) of each phase, and how they train."""
    return [
        {
            "first": phase.first,
            "stop": phase.stop,
            "facts": {
                "epochs": f"{phase.epoch(phase.first)} to {phase.epoch(phase.stop - 1)}",
                "loss": _loss(phase),
                "optimizer": phase.cfg.optimizer,
                "learning rate": f"{phase.rate(phase.first):.4g} to {phase.rate(phase.stop - 1):.4g}, "
                f"{phase.cfg.lr_schedule}",
                "batch": f"{phase.global_batch:,}",
                "sampler": phase.cfg.sampler,
                "frozen": ", ".join(phase.cfg.frozen),
            },
        }
        for phase in phases
    ]


def best_facts(trainer: Trainer) -> dict[str, Any]:
    """The best accuracy so far on each verification set, and the step it was reached at."""
    return {
        "best": {
            name: {"accuracy": float(accuracy), "step": int(step)}
            for name, (accuracy, step) in trainer.best_of.items()
            if step
        }
    }


def best_model(trainer: Trainer) -> Path | None:
    """The folder of the best model, or of the last one if none was verified; None if there is none."""
    folders = [trainer.output / "best", trainer.output]
    return next((folder for folder in folders if (folder / "backbone.safetensors").is_file()), None)


def _loss(phase: Phase) -> str:
    return trained_with(phase.cfg)["loss"].removeprefix("loss ")
