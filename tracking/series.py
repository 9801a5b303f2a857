"""The figures of a run over its steps, in bounded memory."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tracking.history import read_history

POINTS = 1000  # of a curve, and twice as many at most; more than a screen is wide


class Curve:
    """A figure over steps: at first each value, and from `limit` values on means of equally many.

    `steps` and `values` hold the last step and the mean of each group of `together` values.
    """

    def __init__(self, limit: int = POINTS) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self.together = 1
        self._limit, self._sum, self._count = limit, 0.0, 0

    def add(self, step: int, value: float) -> None:
        if self._count == 0:
            self.steps.append(step)
            self.values.append(value)
        self._sum, self._count = self._sum + value, self._count + 1
        self.steps[-1], self.values[-1] = step, self._sum / self._count
        if self._count == self.together:
            self._sum, self._count = 0.0, 0
            if len(self.steps) >= 2 * self._limit:
                self._halve()

    def _halve(self) -> None:
        """Makes one of each two groups, which are all full."""
        pairs = zip(self.values[::2], self.values[1::2], strict=True)
        self.values = [(first + second) / 2 for first, second in pairs]
        self.steps = self.steps[1::2]
        self.together *= 2


class Curves(dict[str, Curve]):
    """The curves of a run by their names, such as "train/loss"."""

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if value - value == 0:  # not finite otherwise
                self.setdefault(name, Curve()).add(step, value)

    @property
    def last_step(self) -> int:
        return max((curve.steps[-1] for curve in self.values()), default=0)


def read_curves(history: Path) -> Curves:
    """Those of a run's history. Raises UserError as `read_history`."""
    return gathered(read_history(history))


def gathered(records: Iterable[tuple[int, Mapping[str, float]]]) -> Curves:
    """The curves of steps and their figures."""
    curves = Curves()
    for step, values in records:
        curves.add(step, values)
    return curves
