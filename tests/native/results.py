"""What tests/native/worker.py computes, once a session."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from tests.ranks import run_ranks


@functools.cache
def computed(instructions: str = "DEFAULT") -> dict[str, np.ndarray]:
    """instructions: the best that oneDNN and our loops may use, as ONEDNN_MAX_CPU_ISA says it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.npz"
        run_ranks(
            1,
            "tests/native/worker.py",
            str(path),
            environment={"OMP_NUM_THREADS": "2", "ONEDNN_MAX_CPU_ISA": instructions},
        )
        with np.load(path) as results:
            return dict(results)


def difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest, over the largest number expected."""
    assert actual.shape == expected.shape
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-3))
