"""Ending a run cleanly on Ctrl-C, SIGTERM or a lost terminal: every rank after the same step."""

import signal
import time
from types import FrameType

import numpy as np

from utils.runtime import Runtime

_SECONDS_BETWEEN = 1.0


class StopSignal:
    """Within ``with StopSignal(runtime) as stop``, the first signal is a request; a second one ends at once.

    Signals reach the ranks at different moments, so the ranks agree on when to act on one. That costs a collective,
    and is therefore done about once a second: they share how long their steps take, and so when to agree next.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._requested = False
        self._before: dict = {}
        self._clock = time.perf_counter()
        self._interval = self._left = 1  # steps between agreements, and until the next

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        signal.signal(number, self._before[number])

    def agreed(self) -> bool:
        """Whether the ranks agree to stop after this step. A collective: every rank calls it once after every step."""
        if self._runtime.ranks == 1:
            return self._requested
        self._left -= 1
        if self._left > 0:
            return False
        now = time.perf_counter()
        own = np.array([self._requested, (now - self._clock) / self._interval], np.float32)
        requested, step_seconds = self._runtime.sum_over_ranks(own)
        self._clock = now
        mean = max(float(step_seconds) / self._runtime.ranks, 1e-3)
        self._interval = self._left = max(1, int(_SECONDS_BETWEEN / mean))
        return bool(requested)
