"""heads/half.py in operators that a card has kernels for, which bits cannot be reached by."""

import math

import oneflow as flow

_LN2 = math.log(2.0)
_MANTISSA = {flow.float16: 10, flow.bfloat16: 7}  # bits
_SMALLEST = {flow.float16: 2.0**-24, flow.bfloat16: 2.0**-126}  # spacing


def round_randomly(values: flow.Tensor, dtype: flow.dtype, generator: flow.Generator) -> flow.Tensor:
    """float32 -> dtype (float16 or bfloat16), up or down with a chance in proportion to the distance.

    Right next to a power of two the logarithm may take the spacing of its other side, which is right on average too.
    """
    magnitude = values.abs()
    exponent = flow.floor(flow.log(magnitude) * (1.0 / _LN2))  # -inf for 0
    spacing = flow.exp((exponent - _MANTISSA[dtype]) * _LN2).clamp(min=_SMALLEST[dtype])
    noise = flow.rand(*values.shape, generator=generator, device=values.device)
    return (flow.floor(magnitude / spacing + noise) * spacing * flow.sign(values)).to(dtype)
