"""A rate that falls by the same factor in every epoch, as Keras_insightface has it."""

import math

from optim.schedules.registry import register
from optim.schedules.schedule import Curve, Span


@register("exponential")
class Exponential(Curve):
    """``max(lr_min, lr * exp(-decay * e))``, e being the epochs since the warm-up; whole_epochs: only whole ones count,
    so that the rate stays the same within an epoch.
    """

    def __init__(self, decay: float = 0.05, lr_min: float = 0.0, whole_epochs: bool = False) -> None:
        self.decay, self.lr_min, self.whole_epochs = decay, lr_min, whole_epochs

    def at(self, step: int, span: Span) -> float:
        epochs = span.epochs(step - span.warmup)
        return max(self.lr_min, span.lr * math.exp(-self.decay * (math.floor(epochs) if self.whole_epochs else epochs)))

    def fault(self, span: Span) -> str | None:
        if self.decay <= 0:
            return f"decay = {self.decay:g} must be above 0"
        return None if 0 <= self.lr_min <= span.lr else f"lr_min = {self.lr_min:g} must be from 0 to lr = {span.lr:g}"
