"""Ending a run cleanly on Ctrl-C, SIGTERM or a lost terminal: every rank after the same step."""

import os
import signal
from types import FrameType

import numpy as np

from utils.runtime import Runtime


class StopSignal:
    """Within ``with StopSignal(runtime) as stop``, the first signal is a request; a second one ends at once.

    Signals reach the ranks at different moments, so the ranks agree on when to act on one. That needs an exchange
    between them, and is therefore done about once a second, at the steps that `StepsInFlight.launched` names.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._requested = False
        self._before: dict = {}

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        self._restore()
        if self._runtime.is_main:  # not by print, in whose midst the signal may come
            os.write(2, b"\nStopping after this step; a second time ends at once, without a checkpoint\n")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agreed(self, due: bool) -> bool:
        """Whether the ranks agree to stop after this step. One rank answers at any step.

        due: whether several ranks exchange requests now; the same on each of them.
        """
        if self._runtime.ranks == 1:
            return self._requested
        return due and bool(self._runtime.exchange(np.array([self._requested])).any())
