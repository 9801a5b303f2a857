"""Ending a run after the epoch it is in, as a user asks for with SIGUSR1 or a file: every rank after the same one."""

import os
import signal
from pathlib import Path
from types import FrameType

import numpy as np

from launch.epoch_signal import EPOCH_SIGNAL
from utils.runtime import Runtime

STOP_FILE = "stop_after_epoch"


class EpochStop:
    """Within ``with EpochStop(runtime, output) as stop``, SIGUSR1 to any rank is a request, also one held since before,
    and so is a file `output/stop_after_epoch`, which rank 0 looks for.
    """

    def __init__(self, runtime: Runtime, output: Path) -> None:
        self._runtime, self._file = runtime, output / STOP_FILE
        self._requested = False

    def __enter__(self) -> "EpochStop":
        self._handler = signal.signal(EPOCH_SIGNAL, self._request)
        self._mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, {EPOCH_SIGNAL})
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        signal.signal(EPOCH_SIGNAL, self._handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self._runtime.is_main and not self._requested:  # not by print, in whose midst the signal may come
            os.write(2, b"\nStopping after this epoch\n")
        self._requested = True

    def agreed(self) -> bool:
        """Whether the run ends here, at the end of an epoch. A collective; the same on every rank.

        A request that is followed is gone: the file is removed, so that a run that goes on later does not end at once.
        """
        asked = self._requested or (self._runtime.is_main and self._file.exists())
        if self._runtime.ranks > 1:
            asked = bool(self._runtime.exchange(np.array([asked])).any())
        if asked and self._runtime.is_main:
            self._file.unlink(missing_ok=True)
        return asked
