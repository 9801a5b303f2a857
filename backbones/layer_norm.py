"""LayerNorm, as one operator where there is one."""

import oneflow as flow
from oneflow import nn


class LayerNorm(nn.LayerNorm):
    """Of the last axis. On cards one operator; on CPUs, where models are exported too, plain ones, for OneFlow's own
    there computes nothing, and has no form in ONNX.
    """

    one_operator = False  # on CPUs too

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        if self.one_operator or (x.placement if x.is_global else x.device).type == "cuda":
            last = {"begin_norm_axis": x.ndim - 1, "begin_params_axis": x.ndim - 1}
            return flow._C.layer_norm_affine(x, self.weight, self.bias, **last, epsilon=self.eps)
        centered = x - x.mean(dim=-1, keepdim=True)
        variance = (centered * centered).mean(dim=-1, keepdim=True)
        return centered * flow.rsqrt(variance + self.eps) * self.weight + self.bias


def use_one_operator(network: nn.Module) -> None:
    """Has each LayerNorm be one operator on a CPU too: for the kernels of `native/`, or a job that never runs."""
    for module in network.modules():
        if isinstance(module, LayerNorm):
            module.one_operator = True
