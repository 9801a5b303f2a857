"""A fall to 0 along a power of the time that is left; 1 is arcface_torch's, 2 arcface_oneflow's."""

from optim.schedules.registry import register
from optim.schedules.schedule import Curve, Span


@register("polynomial")
class Polynomial(Curve):
    """``lr * (1 - (t - w) / (T - w)) ** power``, w being the warm-up's steps and T all of them."""

    def __init__(self, power: float = 2.0) -> None:
        self.power = power

    def at(self, step: int, span: Span) -> float:
        left = 1 - (step - span.warmup) / (span.steps - span.warmup)
        return span.lr * max(left, 0.0) ** self.power

    def fault(self, span: Span) -> str | None:
        return None if self.power > 0 else f"power = {self.power:g} must be above 0"
