"""Computes tests/native/image_cases.py; FILE (npz) gets all results.

"NAME/32/0", ...: of the job compiled for `native/`; "NAME/64/0", ...: by OneFlow's own operators in float64;
"NAME/kinds": the operators of the job.
"""

import sys

import numpy as np
import oneflow as flow

from native.library import load_kernels
from tests.native.graphs import compiled, eager
from tests.native.image_cases import CASES


def main(path: str) -> None:
    load_kernels()
    results = {}
    for name, (function, shapes, _) in CASES.items():
        rng = np.random.default_rng(sum(map(sum, shapes)))
        inputs = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        wide = [array.astype(np.float64) for array in inputs]
        y = function(*[flow.tensor(array) for array in wide])
        weights = rng.standard_normal(tuple(y.shape)).astype(np.float32)
        outputs, kinds = compiled(function, weights, inputs, len(inputs))
        again, _ = compiled(function, weights, inputs, len(inputs))
        assert all(np.array_equal(one, other) for one, other in zip(outputs, again, strict=True)), name
        for bits, arrays in (32, outputs), (64, eager(function, weights.astype(np.float64), wide, len(inputs))):
            for i, array in enumerate(arrays):
                results[f"{name}/{bits}/{i}"] = array
        results[f"{name}/kinds"] = np.array(kinds)
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
