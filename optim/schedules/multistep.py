"""A rate that falls by a factor at each of some epochs."""

from optim.schedules.registry import register
from optim.schedules.schedule import Curve, Span


@register("multistep")
class MultiStep(Curve):
    """``lr * rate ** n``, n being how many of `epochs` are over."""

    def __init__(self, epochs: tuple = (), rate: float = 0.1) -> None:
        self.epochs, self.rate = tuple(epochs), rate

    def at(self, step: int, span: Span) -> float:
        return span.lr * self.rate ** sum(step >= span.steps_of(epoch) for epoch in self.epochs)

    def fault(self, span: Span) -> str | None:
        if not self.epochs:
            return "say with decay_epoch after which epochs the rate falls, such as (10, 16)"
        if list(self.epochs) != sorted(set(self.epochs)) or self.epochs[0] <= 0:
            return f"epochs = {self.epochs} must be above 0, each later than the one before"
        if not span.warmup <= span.steps_of(self.epochs[0]) or span.steps_of(self.epochs[-1]) >= span.steps:
            return f"epochs = {self.epochs} must lie after warmup_epoch and before num_epoch"
        return None if 0 < self.rate <= 1 else f"rate = {self.rate:g} must be above 0 and at most 1"
