"""Sums, limits, copies and updates of parameters of `native/`: against OneFlow's in float64, and the formulas."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.native.flat_worker import CASES, OPTIMIZERS, RATE, SHAPES, gradients, start
from tests.ranks import run_ranks


@functools.cache
def computed() -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.npz"
        run_ranks(1, "tests/native/flat_worker.py", str(path), environment={"OMP_NUM_THREADS": "2"})
        with np.load(path) as results:
            return dict(results)


@pytest.mark.parametrize("name", CASES)
def test_equals_oneflow_in_float64(name):
    results = computed()
    for i in range(1 + len(CASES[name][1])):
        actual, expected = results[f"{name}/32/{i}"], results[f"{name}/64/{i}"]
        assert actual.dtype == np.float32 and expected.dtype == np.float64
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5, err_msg=f"output {i}")


@pytest.mark.parametrize(("name", "kinds"), {
    "sum of three": {"add_n"}, "clip": {"clip_by_scalar", "clip_by_scalar_grad"},
    "narrow the last axis": {"narrow", "narrow_grad"}, "reshape": {"reshape"},
}.items())  # fmt: skip
def test_the_operators_are_those_that_are_meant(name, kinds):
    assert kinds <= set(computed()[f"{name}/kinds"])


def test_a_limit_lets_nan_pass():
    np.testing.assert_array_equal(computed()["nan"], [np.nan, 0, 6])


def sgd(weight, momentum, dampening=0.0, nesterov=False, weight_decay=0.0):
    """https://pytorch.org/docs/stable/generated/torch.optim.SGD.html, whose first step is not dampened, unlike this."""
    kept = np.zeros_like(weight)
    for gradient in gradients(weight.shape):
        g = gradient + weight_decay * weight
        kept = momentum * kept + (1 - dampening) * g
        weight = weight - RATE * (g + momentum * kept if nesterov else kept)
    return weight


def adam(weight, decoupled, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, do_bias_correction=True):
    """Kingma and Ba, 2015; decoupled: Loshchilov and Hutter, 2019."""
    m = v = np.zeros_like(weight)
    for step, gradient in enumerate(gradients(weight.shape), 1):
        g = gradient + (0 if decoupled else weight_decay * weight)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
        first, second = (1 - beta**step if do_bias_correction else 1.0 for beta in betas)
        decay = RATE * weight_decay * weight if decoupled else 0
        weight = weight - RATE * (m / first) / (np.sqrt(v / second) + eps) - decay
    return weight


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_the_formulas(name, size):
    settings, weight = OPTIMIZERS[name][1], start(SHAPES[size]).astype(np.float64)
    expected = sgd(weight, **settings) if "sgd" in name else adam(weight, "adamw" in name, **settings)
    np.testing.assert_allclose(computed()[f"{name}/{size}"], expected, rtol=1e-5, atol=1e-5)
