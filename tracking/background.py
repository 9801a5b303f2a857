"""A writer in a thread of its own, so that a slow disk or network costs figures and not steps."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tracking.writer import Writer

_MOST_WAITING = 10_000  # calls, beyond which new ones are dropped
_PAUSE = 1.0  # seconds between two flushes of a writer with nothing to do


class Background:
    """Calls the writer's methods in order in a daemon thread. What fails is a warning, once; later calls are tried.

    A writer that cannot be opened is dropped with that warning.
    """

    def __init__(self, writer: Writer, logger: logging.Logger) -> None:
        self.name = writer.name
        self._writer, self._logger, self._complained = writer, logger, False
        self._waiting: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name=f"writes {writer.name}", daemon=True)
        self._thread.start()

    def call(self, method: str, *arguments: Any) -> None:
        """Returns at once. `close` is never dropped, and ends the thread."""
        if method != "close" and self._waiting.qsize() >= _MOST_WAITING:
            self._complain("it is too slow")
        else:
            self._waiting.put((method, arguments))

    def finish(self, deadline: float) -> bool:
        """Waits until `close` is done, but not beyond the deadline, of `time.monotonic`; returns whether it is."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def _work(self) -> None:
        if not self._try(self._writer.open):
            self._writer = Writer()
        method = ""
        while method != "close":
            try:
                method, arguments = self._waiting.get(timeout=_PAUSE)
            except queue.Empty:
                self._try(self._writer.flush)
                continue
            self._try(partial(getattr(self._writer, method), *arguments))
            if self._waiting.empty() and method != "close":
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
            self._logger.warning(f"{self.name} could not be written: {reason}. The run goes on.")
        self._complained = True
