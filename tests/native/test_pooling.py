"""Pooling, squeeze-and-excitation and concatenation of `native/`, channels last in a compiled job."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.native.image_cases import CASES
from tests.ranks import run_ranks


@functools.cache
def computed() -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.npz"
        run_ranks(1, "tests/native/image_worker.py", str(path), environment={"OMP_NUM_THREADS": "2"})
        with np.load(path) as results:
            return dict(results)


@pytest.mark.parametrize("name", CASES)
def test_equals_oneflow_in_float64(name):
    for i in range(3):  # the value, and the gradients of x and w
        actual, expected = (computed()[f"{name}/{bits}/{i}"] for bits in (32, 64))
        assert actual.shape == expected.shape
        assert np.abs(actual - expected).max() < 1e-5 * max(np.abs(expected).max(), 1.0), f"output {i}"


@pytest.mark.parametrize("name", CASES)
def test_keeps_channels_last(name):
    kinds = list(computed()[f"{name}/kinds"])
    kind, pixels = CASES[name][2], np.prod(CASES[name][1][0][2:])
    assert not kind or f"channels_last_{kind}" in kinds or pixels == 1
    assert "to_channels_last" in kinds or pixels == 1


@pytest.mark.parametrize("activation", ["hardswish", "silu"])
def test_activation_is_part_of_the_normalization(activation):
    kinds = list(computed()[f"normalization and {activation}/kinds"])
    assert activation not in kinds and f"{activation}_grad" not in kinds
