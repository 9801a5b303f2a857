"""An optimizer in a compiled step, with rates from outside.

OneFlow's own optimizers bring a schedule of their own into the compiled step, and clip the gradients of each group of
parameters apart. Here all parameters are one group, so that the norm is that of all of them; and once OneFlow has made
the job, the operators that update parameters are changed in it: each reads the learning rate from a tensor that the
host sets, and has its own parameter's factor of it and weight decay. (OneFlow's schedule stays in the job, unread.)
"""

from collections.abc import Mapping

import numpy as np
import oneflow as flow
from oneflow import nn

from optim.optimizer import Optimizer
from optim.parameters import Terms
from utils.runtime import write_local


class LearningRate(nn.Module):
    """A number, (1,) float32 broadcast, that a compiled step reads and the host sets between steps."""

    def __init__(self, placement: flow.placement) -> None:
        super().__init__()
        value = flow.zeros(1, dtype=flow.float32, placement=placement, sbp=flow.sbp.broadcast)
        self.register_buffer("value", value, persistent=False)

    def forward(self) -> flow.Tensor:
        return self.value

    def set(self, rate: float) -> None:
        """For the steps to come; one under way keeps its own."""
        write_local(self.value, np.array([rate], np.float32))


def set_terms(job, optimizer: Optimizer, rate: str, terms: Mapping[str, Terms]) -> None:
    """Changes the operators that update parameters in a job that OneFlow has made and not yet compiled.

    rate: the name of `LearningRate.value` in the job; terms: by the parameters' names there.
    """
    for op in job.net.op:
        if op.user_conf.op_type_name != optimizer.operator:
            continue
        own = terms[op.user_conf.input["model"].s[0].removesuffix("/out")]
        op.user_conf.input["learning_rate"].s[0] = f"{rate}/out"
        op.user_conf.attr["learning_rate_scale"].at_float = own.rate
        for attribute, value in optimizer.decay(own.weight_decay).items():
            op.user_conf.attr[attribute].at_float = value
