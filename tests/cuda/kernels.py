"""Which operators have a kernel on CUDA, asked from OneFlow's registry (kernel_registry.cpp); no card is needed."""

import ctypes
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import oneflow as flow
from oneflow import nn
from oneflow.core.job.job_pb2 import Job

from tests.layout.job import read_operators


class KernelRegistry:
    def __init__(self, library: Path) -> None:
        self._ask = ctypes.CDLL(str(library)).operators_without_kernel
        self._ask.argtypes, self._ask.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_char_p

    def missing(self, job: Job, device: str | None = None) -> list[str]:
        """The operators of a job without a kernel for their device and data types, each in words.

        device: asked instead of the operators' own, "cuda" or "cpu".
        """
        operators = {op.name: replace(op, device=device or op.device) for op in read_operators(job)}
        asked = Job()
        asked.CopyFrom(job)
        for op in asked.net.op:
            op.device_tag = operators[op.name].device  # passes of the compiler leave it empty
        content = asked.SerializeToString()
        names = self._ask(content, len(content))
        assert names is not None, "the job cannot be read"
        return [str(operators[name]) for name in names.decode().splitlines()]

    def missing_for(self, function: Callable, *inputs: flow.Tensor) -> list[str]:
        """The same for the operators that `function(*inputs)` calls, were it called eagerly with tensors on a card.

        inputs: local tensors on the CPU. The function is traced and not run, so it may not look at values, and returns
        a tensor or a tuple of them.
        """

        class Traced(nn.Graph):
            def build(self, *inputs):
                return function(*inputs)

        graph = Traced()
        graph.build_graph(*inputs)
        return self.missing(graph._full_graph_proto, "cuda")
