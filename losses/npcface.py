"""NPCFace (Zeng et al., "NPCFace: Negative-Positive Collaborative Training for Large-scale Face Recognition", 2020):
the margin grows with the cosines of the classes that are hard for an image.
"""

import oneflow as flow

from losses.angle import add_angle, add_angle_slope
from losses.margin import Margin, Rows, ones_like
from losses.registry import register


@register("npcface")
class NPCFace(Margin):
    """Another class is hard if its cosine c is above cos(theta + m) of the target: then t c + a takes its place. The
    target pays the angle m0 + m1 h, if its cosine is above 0; h is the mean cosine of the hard classes, 0 if there are
    none. No gradient flows through h.
    """

    reshapes_others = has_statistics = True

    def __init__(
        self, m: float = 0.5, m0: float = 0.4, m1: float = 0.2, t: float = 1.1, a: float = 0.2, s: float = 64.0
    ) -> None:
        self.scale = s
        self._m, self._m0, self._m1, self._t, self._a = m, m0, m1, t, a

    @property
    def bound(self) -> float:
        return self.scale * (self._t + self._a)

    def statistics(self, cosines: flow.Tensor, rows: Rows) -> tuple[flow.Tensor, ...]:
        """Of the hard classes: their cosines, and 1 to count them."""
        easy = self._easy(cosines, rows)
        return cosines.masked_fill(easy, 0.0), ones_like(cosines).masked_fill(easy, 0.0)

    def target(self, rows: Rows) -> flow.Tensor:
        return flow.where(rows.cosine > 0.0, add_angle(rows.cosine, self._angle(rows)), rows.cosine)

    def slope(self, rows: Rows) -> flow.Tensor:
        return add_angle_slope(rows.cosine, self._angle(rows)).masked_fill(rows.cosine <= 0.0, 1.0)

    def others(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return flow.where(self._easy(cosines, rows), cosines, cosines * self._t + self._a)

    def others_slope(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return (cosines * 0.0 + self._t).masked_fill(self._easy(cosines, rows), 1.0)

    def _easy(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        """(B, C) bool."""
        return cosines <= add_angle(rows.cosine, self._m)

    def _angle(self, rows: Rows) -> flow.Tensor:
        """(B, 1): the margin of each row."""
        total, count = rows.statistics
        return total / count.clamp(min=1.0) * self._m1 + self._m0
