"""The margin that the target's cosine pays: cos(theta) -> cos(m1 * theta + m2) - m3.

SphereFace (Liu et al., CVPR 2017) is m1, ArcFace (Deng et al., CVPR 2019) m2, CosFace (Wang et al., CVPR 2018) m3;
ArcFace's equation 4 combines the three.
"""

import math

import oneflow as flow

# acos has an infinite slope at +-1 and is undefined past it, where rounding can put the cosine of parallel vectors.
_EDGE = 1.0 - 1e-6


def margin_cosine(target: flow.Tensor, margins: tuple[float, float, float], gradient: str = "exact") -> flow.Tensor:
    """The target cosines after the margin.

    target: (B, 1) cosines of each embedding and its own class centre, float32, any SBP (elementwise, the SBP stays).
    margins: (m1, m2, m3). gradient: ``"exact"`` differentiates the formula; ``"straight_through"`` keeps its value
    but passes the gradient on unchanged, as arcface_torch trains.

    The papers want a logit that falls as the angle grows. cos(phi), phi = m1 * theta + m2, rises again once phi passes
    pi (for ArcFace: theta > pi - m2), so there it is continued as SphereFace's equation 7 does:
    ``(-1)^k cos(phi) - 2k`` with k = floor(phi / pi), which equals cos(phi) up to pi and goes on falling, with a
    continuous slope. Exactly at theta = 0 and theta = pi, where the direction to turn is undefined, the gradient is 0.
    """
    if gradient == "straight_through":
        fixed = target.detach()
        return target + (_margin(fixed, *margins) - fixed)
    return _margin(target, *margins)


def _margin(target: flow.Tensor, m1: float, m2: float, m3: float) -> flow.Tensor:
    if m1 == 1.0 and m2 == 0.0:  # CosFace needs no angle, and loses no digits to acos
        return target - m3
    phi = flow.acos(target.clamp(-_EDGE, _EDGE)) * m1 + m2
    turns, sign = _turns(phi)
    return sign * flow.cos(phi) - 2.0 * turns - m3


def _turns(phi: flow.Tensor) -> tuple[flow.Tensor, flow.Tensor]:
    """k = floor(phi / pi), and (-1)^k."""
    turns = flow.floor(phi.detach() * (1.0 / math.pi))
    return turns, 1.0 - 2.0 * (turns - 2.0 * flow.floor(turns * 0.5))


def margin_slope(target: flow.Tensor, margins: tuple[float, float, float], gradient: str = "exact") -> flow.Tensor:
    """The derivative of `margin_cosine` by the target cosine, for those who differentiate by hand; same shape."""
    m1, m2, _ = margins
    if gradient == "straight_through" or (m1 == 1.0 and m2 == 0.0):
        return flow.ones_like(target)
    theta = flow.acos(target.clamp(-_EDGE, _EDGE))
    phi = theta * m1 + m2
    _, sign = _turns(phi)
    slope = sign * flow.sin(phi) * m1 / flow.sin(theta)
    return slope.masked_fill(target.abs() >= _EDGE, 0.0)
