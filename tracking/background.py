"""A writer in a thread of its own, so that a slow disk or network costs figures and not steps."""

import logging
import queue
import threading
from collections.abc import Callable
from functools import partial

from tracking.writer import Writer

_MOST_WAITING = 10_000  # calls, beyond which new ones are dropped
_PAUSE = 1.0  # seconds between two flushes of a writer with nothing to do


class Background:
    """Calls the writer's methods in order in a daemon thread. What fails is a warning, once; later calls are tried.

    A writer that cannot be opened is dropped with that warning.
    """

    def __init__(self, writer: Writer, logger: logging.Logger) -> None:
        self._writer, self._logger, self._complained = writer, logger, False
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._work, name=f"writes {writer.name}", daemon=True)
        self._thread.start()

    def call(self, method: str, *arguments) -> None:
        """Returns at once."""
        try:
            self._waiting.put_nowait(partial(getattr(self._writer, method), *arguments))
        except queue.Full:
            self._complain("it is too slow")

    def finish(self, seconds: float) -> None:
        """Waits until all is written, but not longer than that."""
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            pass
        else:
            self._thread.join(seconds)
        if self._thread.is_alive():
            self._complain(f"it has not finished within {seconds:g} s")

    def _work(self) -> None:
        if not self._try(self._writer.open):
            self._writer = Writer()
        while True:
            try:
                call = self._waiting.get(timeout=_PAUSE)
            except queue.Empty:
                self._try(self._writer.flush)
                continue
            if call is None:
                return
            self._try(call)
            if self._waiting.empty():
                self._try(self._writer.flush)

    def _try(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except Exception as error:  # of whatever kind: a library's of its server, or of a disk that is full
            self._complain(str(error).strip().partition("\n")[0] or type(error).__name__)
            return False
        return True

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._logger.warning(f"{self._writer.name} could not be written: {reason}. The run goes on.")
        self._complained = True
