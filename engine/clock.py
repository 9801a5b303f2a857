"""The clock of a run's rates."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from engine.in_flight import StepsInFlight


class TrainingClock:
    """Counts the seconds in which steps are trained, and stands still in pauses.

    clock: the time it goes by, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._paused = clock, 0.0

    @property
    def seconds(self) -> float:
        """Only differences mean something."""
        return self._clock() - self._paused

    @contextmanager
    def paused(self, steps: StepsInFlight) -> Iterator[None]:
        """Time spent inside does not count; it begins when the steps under way have ended."""
        steps.wait()
        start = self._clock()
        yield
        self._paused += self._clock() - start
        steps.restart()
