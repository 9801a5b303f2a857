"""TensorBoard events of a run, in `output/tensorboard`."""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracking.writer import Writer

FOLDER = "tensorboard"


class TensorBoard(Writer):
    """step: where the run begins; the viewer forgets what an earlier course wrote for later steps."""

    name = "TensorBoard events"

    def __init__(self, output: Path, step: int) -> None:
        self._folder, self._step = output / FOLDER, step

    def open(self) -> None:
        from tensorboardX import SummaryWriter

        self._events = SummaryWriter(str(self._folder), purge_step=self._step + 1)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def pictures(self, name: str, step: int, images: NDArray[np.uint8]) -> None:
        self._events.add_images(f"images/{name}", images, step, dataformats="NHWC")

    def close(self, state: str, reason: str, model: Path | None) -> None:
        self._events.close()


def viewer_command(output: Path) -> str:
    """What shows the events, to be typed in the current folder."""
    program = Path(sys.executable).with_name("tensorboard")
    return f"{_from_here(program)} --logdir {_from_here((output / FOLDER).resolve())}"


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
