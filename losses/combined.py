"""The margin that the target's angle and cosine pay: cos(theta) -> cos(m1 * theta + m2) - m3.

SphereFace (Liu et al., CVPR 2017) is m1, ArcFace (Deng et al., CVPR 2019) m2, CosFace (Wang et al., CVPR 2018) m3;
ArcFace's equation 4 combines the three.
"""

import math

import oneflow as flow

from losses.margin import Margin, Rows, ones_like
from losses.registry import register
from utils.errors import UserError

# The angle's slope by its cosine is infinite at +-1.
_EDGE = 1.0 - 1e-6


@register("combined")
class Combined(Margin):
    """m1, m2, m3: the margins; s: the scale. gradient: ``"exact"``, the papers' formula and its derivative, or
    ``"straight_through"``, what arcface_torch's CombinedMarginLoss computes and trains with (see `slope`).

    The papers want a logit that falls as the angle grows. cos(phi), phi = m1 * theta + m2, rises again once phi passes
    pi (for ArcFace: theta > pi - m2), so under "exact" it is continued there as SphereFace's equation 7 does:
    ``(-1)^k cos(phi) - 2k`` with k = floor(phi / pi), which equals cos(phi) up to pi and goes on falling, with a
    continuous slope. arcface_torch lets it rise; and with m3 > 0 it takes cos(theta) - m3, whatever m1 and m2 are.
    """

    def __init__(
        self, m1: float = 1.0, m2: float = 0.5, m3: float = 0.0, s: float = 64.0, gradient: str = "exact"
    ) -> None:
        if gradient not in ("exact", "straight_through"):
            raise UserError(f'gradient = {gradient!r} is not possible: it is "exact" or "straight_through"')
        self.scale = s
        self._straight_through = gradient == "straight_through"
        self._margins = (1.0, 0.0, m3) if self._straight_through and m3 > 0 else (m1, m2, m3)

    @property
    def _has_angle(self) -> bool:
        m1, m2, _ = self._margins
        return (m1, m2) != (1.0, 0.0)  # CosFace needs none, and loses no digits to acos

    def target(self, rows: Rows) -> flow.Tensor:
        m1, m2, m3 = self._margins
        if not self._has_angle:
            return rows.cosine - m3
        phi = flow.acos(rows.cosine.clamp(-1.0, 1.0)) * m1 + m2
        if self._straight_through:
            return flow.cos(phi) - m3
        turns, sign = _turns(phi)
        return sign * flow.cos(phi) - 2.0 * turns - m3

    def slope(self, rows: Rows) -> flow.Tensor:
        """Under "straight_through" it is 1, whatever the formula, as in arcface_torch. Exactly at theta = 0 and
        theta = pi, where the direction to turn is undefined, the true one is taken as 0.
        """
        if self._straight_through or not self._has_angle:
            return ones_like(rows.cosine)
        m1, m2, _ = self._margins
        theta = flow.acos(rows.cosine.clamp(-_EDGE, _EDGE))
        phi = theta * m1 + m2
        _, sign = _turns(phi)
        slope = sign * flow.sin(phi) * m1 / flow.sin(theta)
        return slope.masked_fill(rows.cosine.abs() >= _EDGE, 0.0)


@register("arcface")
class ArcFace(Combined):
    def __init__(self, m: float = 0.5, s: float = 64.0, gradient: str = "exact") -> None:
        super().__init__(1.0, m, 0.0, s, gradient)


@register("cosface")
class CosFace(Combined):
    def __init__(self, m: float = 0.4, s: float = 64.0, gradient: str = "exact") -> None:
        super().__init__(1.0, 0.0, m, s, gradient)


@register("sphereface")
class SphereFace(Combined):
    def __init__(self, m: float = 1.35, s: float = 64.0, gradient: str = "exact") -> None:
        super().__init__(m, 0.0, 0.0, s, gradient)


def _turns(phi: flow.Tensor) -> tuple[flow.Tensor, flow.Tensor]:
    """k = floor(phi / pi), and (-1)^k."""
    turns = flow.floor(phi * (1.0 / math.pi))
    return turns, 1.0 - 2.0 * (turns - 2.0 * flow.floor(turns * 0.5))
