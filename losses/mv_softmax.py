"""MV-Softmax (Wang et al., "Mis-classified Vector Guided Softmax Loss for Face Recognition", AAAI 2020): other classes
that are hard for an image weigh more.
"""

import oneflow as flow

from losses.angle import add_angle, add_angle_slope
from losses.margin import Margin, Rows, ones_like
from losses.registry import register


class MVSoftmax(Margin):
    """Another class is hard if its cosine c is above the target's with its margin: then t c + t - 1 takes its place."""

    reshapes_others = True

    def __init__(self, m: float, t: float, s: float) -> None:
        self.scale, self._m, self._t = s, m, t

    @property
    def bound(self) -> float:
        return self.scale * (2.0 * self._t - 1.0)

    def others(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return flow.where(self._easy(cosines, rows), cosines, cosines * self._t + (self._t - 1.0))

    def others_slope(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return (cosines * 0.0 + self._t).masked_fill(self._easy(cosines, rows), 1.0)

    def _easy(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        """(B, C) bool."""
        return cosines <= self._with_margin(rows)

    def _with_margin(self, rows: Rows) -> flow.Tensor:
        """(B, 1): the target's cosine, having paid its margin."""
        raise NotImplementedError


@register("mv_am")
class MVAM(MVSoftmax):
    """m: the margin, CosFace's, which cosines above it pay; t: the weight of hard classes. Published with s = 32."""

    def __init__(self, m: float = 0.35, t: float = 1.12, s: float = 64.0) -> None:
        super().__init__(m, t, s)

    def target(self, rows: Rows) -> flow.Tensor:
        return flow.where(rows.cosine > self._m, rows.cosine - self._m, rows.cosine)

    def slope(self, rows: Rows) -> flow.Tensor:
        return ones_like(rows.cosine)

    def _with_margin(self, rows: Rows) -> flow.Tensor:
        return rows.cosine - self._m


@register("mv_arc")
class MVArc(MVSoftmax):
    """m: the margin, an angle, which cosines above 0 pay; t: the weight of hard classes. Published with s = 32."""

    def __init__(self, m: float = 0.5, t: float = 1.12, s: float = 64.0) -> None:
        super().__init__(m, t, s)

    def target(self, rows: Rows) -> flow.Tensor:
        return flow.where(rows.cosine > 0.0, self._with_margin(rows), rows.cosine)

    def slope(self, rows: Rows) -> flow.Tensor:
        return add_angle_slope(rows.cosine, self._m).masked_fill(rows.cosine <= 0.0, 1.0)

    def _with_margin(self, rows: Rows) -> flow.Tensor:
        return add_angle(rows.cosine, self._m)
