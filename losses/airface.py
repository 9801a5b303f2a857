"""AirFace (Li et al., ICCV Workshops 2019): the target's logit falls evenly with its angle."""

import math

import oneflow as flow

from losses.margin import Margin, Rows
from losses.registry import register

# The angle's slope by its cosine is infinite at +-1.
_EDGE = 1.0 - 1e-6


@register("airface")
class AirFace(Margin):
    """m: the margin, an angle. The target is 1 - 2 (theta + m) / pi; others keep their cosines, as in
    Keras_insightface (the paper makes all of them linear in their angles).
    """

    def __init__(self, m: float = 0.4, s: float = 64.0) -> None:
        self.scale, self._m = s, m

    def target(self, rows: Rows) -> flow.Tensor:
        return 1.0 - (flow.acos(rows.cosine.clamp(-1.0, 1.0)) + self._m) * (2.0 / math.pi)

    def slope(self, rows: Rows) -> flow.Tensor:
        """Exactly at theta = 0 and theta = pi, where the direction to turn is undefined, it is taken as 0."""
        sine = flow.sin(flow.acos(rows.cosine.clamp(-_EDGE, _EDGE)))
        return (2.0 / math.pi / sine).masked_fill(rows.cosine.abs() >= _EDGE, 0.0)
