"""Half a cosine down, once or again and again, as Keras_insightface has it (Loshchilov and Hutter, ICLR 2017)."""

import math

from optim.schedules.registry import register
from optim.schedules.schedule import Curve, Span


@register("cosine")
class Cosine(Curve):
    """``lr_min + (lr - lr_min) * m_mul ** i * (1 + cos(pi * x)) / 2``, x being the share of cycle i that is over.

    first: epochs of cycle 0, each later one being t_mul times as long as the one before; 0: a single cycle, which
    fills the time. Cycles count from the warm-up's end.
    """

    def __init__(self, first: float = 0.0, t_mul: float = 2.0, m_mul: float = 1.0, lr_min: float = 0.0) -> None:
        self.first, self.t_mul, self.m_mul, self.lr_min = first, t_mul, m_mul, lr_min

    def at(self, step: int, span: Span) -> float:
        begin, cycle, length = float(span.warmup), 0, self._length(span)
        while self.first and step >= begin + length:
            begin, cycle, length = begin + length, cycle + 1, length * self.t_mul
        over = min((step - begin) / length, 1.0)
        return self.lr_min + (span.lr - self.lr_min) * self.m_mul**cycle * (1 + math.cos(math.pi * over)) / 2

    def _length(self, span: Span) -> float:
        """Steps of cycle 0."""
        return self.first * span.steps_per_epoch if self.first else span.steps - span.warmup

    def fault(self, span: Span) -> str | None:
        if self.first < 0 or self.t_mul < 1:
            return f"first = {self.first:g} must be 0 or more, and t_mul = {self.t_mul:g} 1 or more"
        if not 0 < self.m_mul <= 1:
            return f"m_mul = {self.m_mul:g} must be above 0 and at most 1"
        return None if 0 <= self.lr_min <= span.lr else f"lr_min = {self.lr_min:g} must be from 0 to lr = {span.lr:g}"
