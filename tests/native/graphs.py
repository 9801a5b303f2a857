"""A function of tensors and its gradients by OneFlow, one operator after the other and compiled for `native/`."""

from collections.abc import Callable, Sequence

import numpy as np
import oneflow as flow
from oneflow import nn

from engine.job_graph import JobGraph, kind_of
from engine.native_fusion import fuse_normalization
from engine.native_layout import keep_channels_last

Function = Callable[..., flow.Tensor]


class _Parameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(flow.zeros(1))

    def forward(self) -> flow.Tensor:
        return self.value


class _Graph(nn.Graph):
    """nn.Graph gives gradients to those alone who train something."""

    def __init__(self, function: Function, count: int) -> None:
        super().__init__()
        self.function, self._count, self.parameter = function, count, _Parameter()
        self.config.allow_fuse_add_to_output(True)
        self.add_optimizer(flow.optim.SGD(self.parameter.parameters(), lr=0.1))

    def build(self, weights: flow.Tensor, *inputs: flow.Tensor) -> list[flow.Tensor]:
        for tensor in inputs[: self._count]:
            tensor.requires_grad_(True)
        y = self.function(*inputs)
        ((y * weights).sum() + self.parameter().sum()).backward()
        return [y, *[tensor.grad for tensor in inputs[: self._count]]]

    def build_graph(self, *args, **kwargs):
        built = super().build_graph(*args, **kwargs)
        job = self._full_graph_proto
        net = JobGraph(job)
        fuse_normalization(net)
        keep_channels_last(net)
        self.kinds = [kind_of(op) for op in net.ops.values()]
        self._full_graph_proto = job
        return built


def compiled(function: Function, weights: np.ndarray, inputs: Sequence[np.ndarray], count: int):
    """y, and the gradients of (y * weights).sum() by the first `count` inputs; and the operators of the job."""
    graph = _Graph(function, count)
    values = graph(*[flow.tensor(array) for array in (weights, *inputs)])
    return [value.numpy().copy() for value in values], graph.kinds


def eager(function: Function, weights: np.ndarray, inputs: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    tensors = [flow.tensor(array) for array in inputs]
    for tensor in tensors[:count]:
        tensor.requires_grad_(True)
    y = function(*tensors)
    (y * flow.tensor(weights)).sum().backward()
    return [y.detach().numpy().copy(), *[tensor.grad.numpy().copy() for tensor in tensors[:count]]]
