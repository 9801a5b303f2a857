"""A run in Weights & Biases. WANDB_MODE=offline keeps it in `output/wandb`, for `wandb sync`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.run_ids import keep_id, known_id
from tracking.writer import Writer
from utils.files import show_name

_SECONDS = 60  # until a server that does not answer is given up


class WandbRun(Writer):
    """cfg: of the run, with InsightFace's keys of W&B; step: where it begins.

    `wandb_resume` goes on with the run of before; else one that is resumed is a new one there, whose config says
    `resumed_from`.
    """

    name = "Weights & Biases"

    def __init__(self, output: Path, step: int, cfg: Mapping[str, Any], logger: logging.Logger) -> None:
        self._output, self._cfg, self._logger = output, cfg, logger
        before = known_id(output, "wandb") if step else None
        self._old_id = before if cfg["wandb_resume"] else None
        self._config = {"resumed_from": before} if before and not self._old_id else None

    def open(self) -> None:
        import wandb

        key = self._cfg["wandb_key"]
        settings = wandb.Settings(
            api_key=key if key and set(key) != {"X"} else None,  # InsightFace's files have Xs in its place
            console="off",
            silent=True,
            init_timeout=_SECONDS,
        )
        name, suffix = show_name(self._output.resolve()), self._cfg["suffix_run_name"]
        self._wandb = wandb
        self._run = wandb.init(
            entity=self._cfg["wandb_entity"],
            project=self._cfg["wandb_project"],
            name=f"{name}_{suffix}" if suffix else name,
            id=self._old_id,
            config=self._config,
            resume="allow" if self._old_id else None,
            dir=str(self._output),
            settings=settings,
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")  # W&B's own steps may not go back, as a resumed run's do
        keep_id(self._output, "wandb", self._run.id)
        if self._run.settings.mode == "online":
            self._logger.info(f"Weights & Biases: {self._run.url}")
        else:
            self._logger.info(f"Weights & Biases, offline: wandb sync {self._run.settings.sync_dir}")

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def describe(self, facts: Mapping[str, Any]) -> None:
        settings = {key: value for key, value, _ in facts.get("config", ())}
        if settings:
            self._run.config.update(settings, allow_val_change=True)

    def pictures(self, name: str, step: int, images: NDArray[np.uint8]) -> None:
        self._run.log({"step": step, f"images/{name}": [self._wandb.Image(image) for image in images]})

    def close(self, state: str, reason: str, model: Path | None) -> None:
        if model and self._cfg["save_artifacts"]:
            artifact = self._wandb.Artifact(f"{show_name(self._output.resolve())}-backbone", "model")
            artifact.add_dir(str(model))
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=1 if state == "failed" else 0)
