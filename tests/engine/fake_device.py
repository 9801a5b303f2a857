"""A device and a clock for tests of rates: no time passes but what the steps and the host are said to take."""

import numpy as np


class FakeDevice:
    """Runs steps one after the other. The loss of a step is there after a third of it.

    step_seconds: of the device for a step; launch_seconds: of the host to launch one.
    """

    def __init__(self, step_seconds: float, launch_seconds: float) -> None:
        self.step_seconds, self.launch_seconds = step_seconds, launch_seconds
        self.now = self.busy = 0.0
        self._losses, self._ends = [], [0.0]

    def clock(self) -> float:
        return self.now

    def launch(self) -> int:
        """Launches a step; returns its number, which stands for its loss."""
        self.now += self.launch_seconds
        start = max(self.now, self._ends[-1])
        self._losses.append(start + self.step_seconds / 3)
        self._ends.append(start + self.step_seconds)
        self.busy += self.step_seconds
        return len(self._losses) - 1

    def arrival(self, loss: int):
        def wait() -> None:
            self.now = max(self.now, self._losses[loss])

        return wait

    def wait(self, runtime=None) -> None:
        self.now = max(self.now, self._ends[-1])

    @property
    def seconds_ahead(self) -> float:
        """How long the device needs for what is launched."""
        return max(0.0, self._ends[-1] - self.now)


class FakeRanks:
    """A runtime of several ranks, of which the others answer with `others`, an array (ranks - 1, ...)."""

    is_main = True

    def __init__(self, others=()) -> None:
        self.others, self.ranks = list(others), 1 + len(others)
        self.exchanges = 0

    def exchange(self, numbers: np.ndarray) -> np.ndarray:
        self.exchanges += 1
        return np.stack([numbers, *(np.full_like(numbers, other) for other in self.others)])
