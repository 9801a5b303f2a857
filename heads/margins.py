"""The margin that the target's cosine pays: cos(theta) -> cos(m1 * theta + m2) - m3.

SphereFace (Liu et al., CVPR 2017) is m1, ArcFace (Deng et al., CVPR 2019) m2, CosFace (Wang et al., CVPR 2018) m3;
ArcFace's equation 4 combines the three.
"""

import math

import oneflow as flow

# The angle's slope by its cosine is infinite at +-1.
_EDGE = 1.0 - 1e-6


def margin_cosine(target: flow.Tensor, margins: tuple[float, float, float], gradient: str = "exact") -> flow.Tensor:
    """The target cosines after the margin.

    target: (B, 1) cosines of each embedding and its own class center, float32, any SBP (elementwise, the SBP stays).
    margins: (m1, m2, m3). gradient: ``"exact"``, the papers' formula and its derivative, or ``"straight_through"``,
    what arcface_torch's CombinedMarginLoss computes and trains with (see `margin_slope`).

    The papers want a logit that falls as the angle grows. cos(phi), phi = m1 * theta + m2, rises again once phi passes
    pi (for ArcFace: theta > pi - m2), so under "exact" it is continued there as SphereFace's equation 7 does:
    ``(-1)^k cos(phi) - 2k`` with k = floor(phi / pi), which equals cos(phi) up to pi and goes on falling, with a
    continuous slope. arcface_torch lets it rise; and with m3 > 0 it takes cos(theta) - m3, whatever m1 and m2 are.
    """
    m1, m2, m3 = _effective(margins, gradient)
    if m1 == 1.0 and m2 == 0.0:  # CosFace needs no angle, and loses no digits to acos
        return target - m3
    phi = flow.acos(target.clamp(-1.0, 1.0)) * m1 + m2
    if gradient == "straight_through":
        return flow.cos(phi) - m3
    turns, sign = _turns(phi)
    return sign * flow.cos(phi) - 2.0 * turns - m3


def margin_slope(target: flow.Tensor, margins: tuple[float, float, float], gradient: str = "exact") -> flow.Tensor:
    """The derivative of `margin_cosine` by the target cosine that training goes by; same shape.

    Under "straight_through" it is 1, whatever the formula, as in arcface_torch. Exactly at theta = 0 and theta = pi,
    where the direction to turn is undefined, the true one is taken as 0.
    """
    m1, m2, _ = _effective(margins, gradient)
    if gradient == "straight_through" or (m1 == 1.0 and m2 == 0.0):
        return flow.ones_like(target)
    theta = flow.acos(target.clamp(-_EDGE, _EDGE))
    phi = theta * m1 + m2
    _, sign = _turns(phi)
    slope = sign * flow.sin(phi) * m1 / flow.sin(theta)
    return slope.masked_fill(target.abs() >= _EDGE, 0.0)


def _effective(margins: tuple[float, float, float], gradient: str) -> tuple[float, float, float]:
    m1, m2, m3 = margins
    return (1.0, 0.0, m3) if gradient == "straight_through" and m3 > 0 else (m1, m2, m3)


def _turns(phi: flow.Tensor) -> tuple[flow.Tensor, flow.Tensor]:
    """k = floor(phi / pi), and (-1)^k."""
    turns = flow.floor(phi * (1.0 / math.pi))
    return turns, 1.0 - 2.0 * (turns - 2.0 * flow.floor(turns * 0.5))
