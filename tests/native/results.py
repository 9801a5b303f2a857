"""What tests/native/worker.py computes, once a session."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from tests.ranks import run_ranks


@functools.cache
def computed() -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.npz"
        run_ranks(1, "tests/native/worker.py", str(path), environment={"OMP_NUM_THREADS": "2"})
        with np.load(path) as results:
            return dict(results)


def difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest, over the largest number expected."""
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-3))
