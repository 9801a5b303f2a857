"""The process of test_flat.py that has the kernels: FILE gets all results (npz). Compiled, for in eager mode a narrow
or a reshape is a view, without a kernel.
"""

import sys

import numpy as np
import oneflow as flow
from oneflow import nn

from native.library import load_kernels
from tests.native.graphs import compiled

_LONG = (40, 30, 64)
CASES = {  # name: (function, shapes of its inputs)
    "sum of two": (lambda a, b: a * 2.0 + b, [(3, 7), (3, 7)]),
    "sum of three": (lambda *terms: flow._C.add(terms), [(5, 9)] * 3),
    "sum of four, on several threads": (lambda *terms: flow._C.add(terms), [_LONG] * 4),
    "clip": (lambda x: flow.clip(x * 4.0, -1.0, 2.5), [(7, 33)]),
    "clip, on several threads": (lambda x: flow.clip(x * 4.0, 0.0, 6.0), [_LONG]),
    "narrow rows": (lambda x: flow.narrow(x, 0, 2, 3) * 1.0, [(7, 5)]),
    "narrow a middle axis": (lambda x: flow.narrow(x, 1, 1, 2) * 1.0, [(3, 4, 5)]),
    "narrow the last axis": (lambda x: flow.narrow(x, 2, 16, 32) * 1.0, [_LONG]),
    "narrow to all": (lambda x: flow.narrow(x, 1, 0, 4) * 1.0, [(3, 4)]),
    "reshape": (lambda x: x.reshape(10, 3) * 1.0, [(5, 6)]),
    "reshape, on several threads": (lambda x: x.reshape(64, -1) * 1.0, [_LONG]),
    "axes of one": (lambda x: (x.unsqueeze(1) * 2.0).squeeze(dim=1) * 1.0, [(5, 6)]),
}
SHAPES = {"small": (5,), "on several threads": (300, 200)}
OPTIMIZERS = {
    "sgd": (flow.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
    "sgd, dampened": (flow.optim.SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "sgd, nesterov": (flow.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (flow.optim.Adam, {"betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.01}),
    "adamw": (flow.optim.AdamW, {"betas": (0.9, 0.999), "weight_decay": 0.05}),
    "adamw, uncorrected": (flow.optim.AdamW, {"weight_decay": 0.05, "do_bias_correction": False}),
}
RATE, STEPS = 0.1, 3


def start(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def gradients(shape: tuple[int, ...]) -> list[np.ndarray]:
    """One for each step."""
    return list(np.random.default_rng(2).standard_normal((STEPS, *shape)).astype(np.float32))


class _Weight(nn.Module):
    def __init__(self, value: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(flow.tensor(value))

    def forward(self, gradient: flow.Tensor) -> flow.Tensor:
        return (self.weight * gradient).sum()


class _Training(nn.Graph):
    def __init__(self, module: _Weight, optimizer: flow.optim.Optimizer) -> None:
        super().__init__()
        self.module = module
        self.add_optimizer(optimizer)

    def build(self, gradient: flow.Tensor) -> flow.Tensor:
        loss = self.module(gradient)
        loss.backward()
        return loss


def main(path: str) -> None:
    load_kernels()
    results = {}
    for name, (function, shapes) in CASES.items():
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        like = function(*[flow.tensor(array) for array in arrays])
        weights = rng.standard_normal(tuple(like.shape)).astype(np.float32)
        for bits in (32, 64):
            given = [array.astype(f"float{bits}") for array in (weights, *arrays)]
            values, kinds = compiled(function, given[0], given[1:], len(arrays))
            results |= {f"{name}/{bits}/{i}": value for i, value in enumerate(values)}
        results[f"{name}/kinds"] = np.array(kinds)
    for name, (make, settings) in OPTIMIZERS.items():
        for size, shape in SHAPES.items():
            module = _Weight(start(shape))
            graph = _Training(module, make(module.parameters(), lr=RATE, **settings))
            for gradient in gradients(shape):
                graph(flow.tensor(gradient)).numpy()
            results[f"{name}/{size}"] = module.weight.numpy()
    results["nan"] = flow.clip(flow.tensor([float("nan"), -3.0, 9.0]), 0.0, 6.0).numpy()
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
