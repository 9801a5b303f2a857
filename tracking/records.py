"""The figures of a run, handed on to all who write them down."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracking.background import Background
from tracking.history import HistoryFile
from tracking.writer import Writer

# Seconds at the end of a run that all writers have together: the launcher ends a run a minute after Ctrl-C.
_PATIENCE = {"complete": 60.0, "stopped": 20.0, "failed": 10.0}


class Records:
    """Writes named numbers of steps to `output/history.jsonl` and hands them to other writers. On the main rank alone.

    step: where the run begins. A disk that is full costs figures, not the run, and so does any writer that fails. As a
    context: leaving it closes the writers, and an exception is the reason that the run has failed.
    """

    def __init__(self, output: Path, step: int, writers: Sequence[Writer], logger: logging.Logger) -> None:
        self._logger, self._complained = logger, False
        self._history = HistoryFile(output, step)
        self._writers = [Background(writer, logger) for writer in writers]
        self._closed = False

    def __enter__(self) -> "Records":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        self.close("failed" if error else "stopped", _reason(error))

    def add(self, step: int, values: dict[str, float]) -> None:
        """values: by names such as "train/loss"."""
        try:
            self._history.add(step, values)
        except OSError as error:
            self._complain(error)
        self._call("add", step, values)

    def describe(self, facts: Mapping[str, Any]) -> None:
        """As `Writer.describe`."""
        self._call("describe", facts)

    def pictures(self, name: str, step: int, images: NDArray[np.uint8]) -> None:
        """As `Writer.pictures`."""
        self._call("pictures", name, step, images)

    def close(self, state: str, reason: str = "", model: Path | None = None) -> None:
        """As `Writer.close`; only the first call counts. Waits for the writers, a minute at most.

        A warning names those that take longer, and are left behind.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._history.close()
        except OSError as error:
            self._complain(error)
        self._call("close", state, reason, model)
        deadline = time.monotonic() + _PATIENCE[state]
        if left := [writer.name for writer in self._writers if not writer.finish(deadline)]:
            seconds = f"{_PATIENCE[state]:g} s"
            self._logger.warning(f"Not finished {seconds} after the run, and left behind: {', '.join(left)}")

    def _call(self, method: str, *arguments: Any) -> None:
        for writer in self._writers:
            writer.call(method, *arguments)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._logger.warning(f"Figures of this run could not be written: {error}")
        self._complained = True


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    return str(error).strip().partition("\n")[0] or type(error).__name__
