"""Which writers a run has."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tracking.mlflow_run import MlflowRun
from tracking.page import PAGE, RunPage
from tracking.records import Records
from tracking.tensorboard import TensorBoard, viewer_command
from tracking.wandb_run import WandbRun
from tracking.writer import Writer
from utils.config.file import show_path


def start_records(output: Path, step: int, cfg: Mapping[str, Any], logger: logging.Logger) -> Records:
    """The records of a run that begins at `step`, and what is said of where to look at them."""
    writers: list[Writer] = [RunPage(output, step)]
    logger.info(f"Page of the run: {show_path((output / PAGE).resolve())}")
    if cfg["tensorboard"]:
        writers.append(TensorBoard(output, step))
        logger.info(f"TensorBoard: {viewer_command(output)}")
    if cfg["using_wandb"]:
        writers.append(WandbRun(output, step, cfg, logger))
    if cfg["using_mlflow"]:
        writers.append(MlflowRun(output, step, cfg, logger))
    return Records(output, step, writers, logger)
