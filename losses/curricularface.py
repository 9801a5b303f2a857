"""CurricularFace (Huang et al., CVPR 2020): other classes that are hard for an image weigh more as training goes on."""

import math

import oneflow as flow

from losses.angle import add_angle, add_angle_slope
from losses.margin import Margin, Rows
from losses.registry import register


@register("curricularface")
class CurricularFace(Margin):
    """m: the margin, an angle; t_alpha: the weight of a batch in t, the running mean of the targets' cosines.

    Another class is hard if its cosine c is above cos(theta + m) of the target: then c (t + c) takes its place. The
    target pays cos(theta + m) up to theta = pi - m, and beyond c - m sin(m).
    """

    reshapes_others = True

    def __init__(self, m: float = 0.5, t_alpha: float = 0.01, s: float = 64.0) -> None:
        self.scale, self.state = s, {"t": 0.0}
        self._m, self._weight = m, t_alpha
        self._last = math.cos(math.pi - m)  # of the cosines that pay an angle

    @property
    def bound(self) -> float:
        return 2.0 * self.scale  # c (t + c) with both at 1

    def next_state(self, rows: Rows) -> dict[str, flow.Tensor]:
        return {"t": rows.cosine.mean(dim=0, keepdim=True) * self._weight + rows.state["t"] * (1.0 - self._weight)}

    def target(self, rows: Rows) -> flow.Tensor:
        beyond = rows.cosine - self._m * math.sin(self._m)
        return flow.where(rows.cosine > self._last, add_angle(rows.cosine, self._m), beyond)

    def slope(self, rows: Rows) -> flow.Tensor:
        return add_angle_slope(rows.cosine, self._m).masked_fill(rows.cosine <= self._last, 1.0)

    def others(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return cosines * (cosines + rows.state["t"]).masked_fill(self._easy(cosines, rows), 1.0)

    def others_slope(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return (cosines * 2.0 + rows.state["t"]).masked_fill(self._easy(cosines, rows), 1.0)

    def _easy(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        """(B, C) bool."""
        return cosines <= add_angle(rows.cosine, self._m)
