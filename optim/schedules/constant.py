"""The same rate in every step."""

from optim.schedules.registry import register
from optim.schedules.schedule import Curve, Span


@register("constant")
class Constant(Curve):
    def at(self, step: int, span: Span) -> float:
        return span.lr
