"""Ending a run cleanly on Ctrl-C or SIGTERM: every rank after the same step."""

import signal
from types import FrameType

import numpy as np

from utils.runtime import Runtime


class StopSignal:
    """Within ``with StopSignal(runtime) as stop``, the first signal is a request; a second one ends at once.

    Signals reach the ranks at different moments, so they agree: a request is acted on once all ranks know of it.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._requested = False
        self._before: dict = {}

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        signal.signal(number, self._before[number])

    def agreed(self) -> bool:
        """Whether any rank was asked to stop. A collective: every rank calls it once after every step."""
        if self._runtime.ranks == 1:
            return self._requested
        return bool(self._runtime.sum_over_ranks(np.array([self._requested], np.float32))[0])
