"""What writes down the figures of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Writer:
    """What `tracking.records.Records` hands on: figures, facts and pictures of a run. Each method may raise.

    Methods are called one after the other, in a thread of the writer's own. name: what a warning calls it.
    """

    name = "writer"

    def open(self) -> None:
        """Called first."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of a step by names such as "train/loss"."""

    def describe(self, facts: Mapping[str, Any]) -> None:
        """What is known of the run, of JSON's types (`tracking.about`); a fact of the same name is replaced."""

    def pictures(self, name: str, step: int, images: NDArray[np.uint8]) -> None:
        """Images that a step trains on, (N, H, W, 3) uint8 RGB; name: of the phase, such as "phase-1"."""

    def flush(self) -> None:
        """Called when nothing waits to be written, at least once a second."""

    def close(self, state: str, reason: str, model: Path | None) -> None:
        """Called last, if the process lives to its end. state: "complete", "stopped", or "failed" for that reason.

        model: the folder of the run's best model, if there is one.
        """
