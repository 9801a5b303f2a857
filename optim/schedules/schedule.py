"""The learning rate of every step: a curve over a stretch of steps, after a linear warm-up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """The stretch: lr is its peak, the rest are steps."""

    lr: float
    steps: int
    warmup: int = 0
    steps_per_epoch: int = 1

    def epochs(self, step: int) -> float:
        """How many epochs are done when step `step` begins."""
        return step / self.steps_per_epoch

    def steps_of(self, epochs: float) -> int:
        return round(epochs * self.steps_per_epoch)


class Curve:
    """A formula: the rate of each step after the warm-up."""

    def at(self, step: int, span: Span) -> float:
        """The rate of a step, counted from 0 at the beginning of the span, warm-up included; `span.warmup` or more."""
        raise NotImplementedError

    def fault(self, span: Span) -> str | None:
        """A sentence if the parameters are not possible in this span."""
        return None


@dataclass(frozen=True)
class Schedule:
    """Step t runs at ``lr * t / w`` while t < w, the warm-up, and then at what the curve says.

    The compiled step, the eager one, the class centers and the log all take their rate from here.
    """

    curve: Curve
    span: Span

    def at(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0."""
        if step < self.span.warmup:
            return self.span.lr * step / self.span.warmup
        return self.curve.at(step, self.span)
