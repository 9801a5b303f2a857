"""NormFace (Wang et al., ACM Multimedia 2017): a softmax over scaled cosines, without a margin."""

import oneflow as flow

from losses.margin import Margin, Rows, ones_like
from losses.registry import register


@register("normface")
class NormFace(Margin):
    """s: the scale, fixed here; the paper also learns it."""

    def __init__(self, s: float = 64.0) -> None:
        self.scale = s

    def target(self, rows: Rows) -> flow.Tensor:
        return rows.cosine

    def slope(self, rows: Rows) -> flow.Tensor:
        return ones_like(rows.cosine)
