"""The plain softmax, w x + b, without normalization, scale or margin."""

import oneflow as flow

from losses.margin import Margin, Rows, ones_like
from losses.registry import register


@register("softmax")
class Softmax(Margin):
    """bias: whether each class has a number b besides its center. Logits have no largest size."""

    normalized, scale = False, 1.0
    bound = float("inf")

    def __init__(self, bias: bool = True) -> None:
        self.has_bias = bias

    def target(self, rows: Rows) -> flow.Tensor:
        return rows.cosine

    def slope(self, rows: Rows) -> flow.Tensor:
        return ones_like(rows.cosine)
