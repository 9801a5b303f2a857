"""What tests/native/eager_worker.py computes of a module of cases, and what must be true of it."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from tests.ranks import run_ranks


@functools.cache
def computed(module: str, threads: int = 2) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.npz"
        environment = {"OMP_NUM_THREADS": str(threads)}
        run_ranks(1, "tests/native/eager_worker.py", module, str(path), environment=environment)
        with np.load(path) as results:
            return dict(results)


def check_equal(results: dict[str, np.ndarray], name: str) -> None:
    """A case's value and gradients to 1e-5 of OneFlow's in float64; the same bits again; the same of sliced inputs."""
    count = sum(key.startswith(f"{name}/32/") for key in results)
    assert count > 1
    for i in range(count):
        actual, expected = results[f"{name}/32/{i}"], results[f"{name}/64/{i}"]
        assert actual.dtype == np.float32 and expected.dtype == np.float64 and actual.shape == expected.shape
        scale = max(np.abs(expected).max(), 1.0)
        assert np.abs(actual - expected).max() < 1e-5 * scale, f"output {i}"
    assert np.array_equal(results[f"{name}/again/0"], results[f"{name}/32/{count - 1}"])
    assert np.allclose(results[f"{name}/sliced/0"], results[f"{name}/sliced/1"], rtol=0, atol=1e-6, equal_nan=True)


def check_empty(results: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> None:
    result = results[f"{name}/empty/0"]
    assert result.shape == shape and not result.any()
