"""Circle loss with class labels (Sun et al., CVPR 2020): each cosine weighs by its distance from its optimum."""

import oneflow as flow

from losses.margin import Margin, Rows
from losses.registry import register


@register("circle")
class CircleLoss(Margin):
    """m: the margin, a cosine; gamma: the scale.

    The target is max(1 + m - c, 0) (c - 1 + m), and another class's cosine becomes max(c + m, 0) (c - m). The first
    factors are weights: no gradient flows through them.
    """

    reshapes_others = True

    def __init__(self, m: float = 0.25, gamma: float = 256.0) -> None:
        self.scale, self._m = gamma, m

    @property
    def bound(self) -> float:
        return self.scale * max(self._m**2, 1.0 - self._m**2)

    def target(self, rows: Rows) -> flow.Tensor:
        return self.slope(rows) * (rows.cosine - (1.0 - self._m))

    def slope(self, rows: Rows) -> flow.Tensor:
        return flow.relu(1.0 + self._m - rows.cosine)

    def others(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return flow.relu(cosines + self._m) * (cosines - self._m)

    def others_slope(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return flow.relu(cosines + self._m)
