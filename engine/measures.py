"""What steps gave, read from the device."""

import math

import oneflow as flow

from utils.errors import UserError
from utils.runtime import Runtime


def mean_of(values: list[flow.Tensor], runtime: Runtime) -> float:
    """The mean of what some steps gave as one of their losses: global scalars, or (gradient_acc,). A collective."""
    own = flow.stack([value.to_local().mean() for value in values]).mean()
    shares = runtime.exchange(own.numpy().reshape(1))
    return float(shares.sum() if values[0].sbp[0] == flow.sbp.partial_sum else shares[0, 0])


def mean_loss(losses: list[flow.Tensor], runtime: Runtime, step: int, fp16: bool) -> float:
    """The mean of the losses of the steps before `step`. A collective.

    Raises UserError, on all ranks, if it is no number.
    """
    value = mean_of(losses, runtime)
    if not math.isfinite(value):
        hint = "fp16=False" if fp16 else "clip_grad_norm=5.0"
        raise UserError(f"the loss is {value} by step {step}; try a smaller lr, a longer warmup_epoch, or {hint}")
    return value
