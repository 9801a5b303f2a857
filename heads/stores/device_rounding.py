"""heads/stores/half.py in operators that a card has kernels for, which bits cannot be reached by."""

import math

import oneflow as flow

_LN2 = math.log(2.0)
_MANTISSA = {flow.float16: 10, flow.bfloat16: 7}  # bits
_SMALLEST = {flow.float16: 2.0**-24, flow.bfloat16: 2.0**-126}  # spacing


def round_randomly(values: flow.Tensor, dtype: flow.dtype, noise: flow.Tensor) -> flow.Tensor:
    """float32 -> dtype (float16 or bfloat16), up or down with a chance in proportion to the distance.

    noise: float32 of the same shape, uniform in [0, 1). What `dtype` can hold stays as it is. Right next to a power of
    two the logarithm may take the spacing of its other side, which is right on average too.
    """
    magnitude = values.abs()
    exponent = flow.floor(flow.log(magnitude) * (1.0 / _LN2))  # -inf for 0
    # The exponential is a power of two but for its last digits, which bfloat16 has not.
    spacing = flow.exp((exponent - _MANTISSA[dtype]) * _LN2).to(flow.bfloat16).to(flow.float32)
    steps = magnitude / spacing.clamp(min=_SMALLEST[dtype])
    whole = flow.floor(steps)
    up = (noise < steps - whole).to(flow.float32)
    return ((whole + up) * spacing.clamp(min=_SMALLEST[dtype]) * flow.sign(values)).to(dtype)
