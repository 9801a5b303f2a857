"""cos(theta + m), the target of ArcFace (Deng et al., CVPR 2019), for losses that make something of it."""

import oneflow as flow

# The angle's slope by its cosine is infinite at +-1.
_EDGE = 1.0 - 1e-6


def add_angle(cosine: flow.Tensor, m: flow.Tensor | float) -> flow.Tensor:
    """(B, 1) cosines of theta -> cos(theta + m), which rises again past pi. m: a number, or (B, 1)."""
    return flow.cos(flow.acos(cosine.clamp(-1.0, 1.0)) + m)


def add_angle_slope(cosine: flow.Tensor, m: flow.Tensor | float) -> flow.Tensor:
    """(B, 1): the derivative of `add_angle` by the cosine. Exactly at theta = 0 and theta = pi, where the direction to
    turn is undefined, it is taken as 0.
    """
    theta = flow.acos(cosine.clamp(-_EDGE, _EDGE))
    return (flow.sin(theta + m) / flow.sin(theta)).masked_fill(cosine.abs() >= _EDGE, 0.0)


def add_angle_slope_by_m(cosine: flow.Tensor, m: flow.Tensor | float) -> flow.Tensor:
    """(B, 1): the derivative of `add_angle` by m."""
    return -flow.sin(flow.acos(cosine.clamp(-1.0, 1.0)) + m)
