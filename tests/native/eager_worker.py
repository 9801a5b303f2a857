"""The kernels of `native/` against OneFlow's own: CASES_MODULE FILE; FILE (npz) gets "NAME/32/0", "NAME/64/0", ...: the
value of each case and its gradients, in float32 and in float64.
"""

import importlib
import sys

import numpy as np
import oneflow as flow

from native.library import load_kernels


def _results(function, shapes, dtype: str) -> list[np.ndarray]:
    rng = np.random.default_rng(sum(map(sum, shapes)))
    arrays = [rng.standard_normal(shape).astype(np.float32).astype(dtype) for shape in shapes]
    tensors = [flow.tensor(array, requires_grad=True) for array in arrays]
    y = function(*tensors)
    dy = np.random.default_rng(1).standard_normal(tuple(y.shape)).astype(np.float32).astype(dtype)
    (y * flow.tensor(dy)).sum().backward()
    return [y.detach().numpy(), *[tensor.grad.numpy() for tensor in tensors]]


def _sliced(function, shapes) -> list[np.ndarray]:
    """Of inputs that are not in one piece in memory, and of copies of them."""
    wide = [flow.randn(*shape[:-1], shape[-1] + 2) for shape in shapes]
    cut = [tensor[..., 1:-1] for tensor in wide]
    return [function(*cut).numpy(), function(*[tensor.clone() for tensor in cut]).numpy()]


def main(module: str, path: str) -> None:
    load_kernels()
    cases, results = importlib.import_module(module), {}
    for name, (function, shapes) in cases.CASES.items():
        for bits in (32, 64):
            for i, array in enumerate(_results(function, shapes, f"float{bits}")):
                results[f"{name}/{bits}/{i}"] = array
        for _ in range(2):
            results[f"{name}/again/0"] = _results(function, shapes, "float32")[-1]
        for i, array in enumerate(_sliced(function, shapes)):
            results[f"{name}/sliced/{i}"] = array
    for name, (function, shapes, _) in cases.EMPTY.items():
        results[f"{name}/empty/0"] = function(*[flow.ones(*shape) for shape in shapes]).numpy()
    np.savez(path, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
