"""Optimizers on sampled rows of NumPy, against their formulas; tests/heads/stores has them in stores."""

import numpy as np
import pytest

from optim import configured_head_optimizer, list_optimizers, make_optimizer
from tests.optim.formulas import OPTIMIZERS
from utils.config import load_config

ROW_WISE = [name for name in list_optimizers() if make_optimizer(name).row_wise]


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("name", ROW_WISE)
def test_steps_are_the_formula(name, decay):
    rng, rule = np.random.default_rng(0), make_optimizer(name, weight_decay=decay)
    w = rng.normal(size=(4, 3))
    expected, kept = w.copy(), {}
    slots = tuple(np.zeros_like(w) for _ in rule.slots)
    for step in range(6):
        gradient, lr = rng.normal(size=w.shape), 0.1 / (1 + step)
        w, slots = rule.update(w, slots, gradient.copy(), lr, step)
        expected, kept = OPTIMIZERS[name](expected, kept, gradient, lr, decay, step + 1)
    np.testing.assert_allclose(w, expected, rtol=1e-9)
    for slot, array in zip(rule.slots, slots, strict=True):
        np.testing.assert_allclose(array, kept[slot], rtol=1e-9, err_msg=slot)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_gradient_of_almost_nothing_is_divided_by_eps_too(name):
    rule = make_optimizer(name, weight_decay=0.0)
    w, gradient = np.zeros((1, 2)), np.full((1, 2), 1e-8)
    expected, _ = OPTIMIZERS[name](w.copy(), {}, gradient, 1.0, 0.0, 1)
    actual, _ = rule.update(w, (np.zeros((1, 2)), np.zeros((1, 2))), gradient.copy(), 1.0, 0)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    np.testing.assert_allclose(actual, -0.5, rtol=1e-6)


@pytest.mark.parametrize(("own", "wanted"), [("None", 0.1), ("0.3", 0.3), ("0.0", 0.0)])
def test_class_centers_have_a_weight_decay_of_their_own_if_they_want(own, wanted):
    data = ["synthetic=True", "num_classes=10", "num_image=960"]
    cfg = load_config("base", [*data, "weight_decay=0.1", f"head_weight_decay={own}"])
    assert configured_head_optimizer(cfg).weight_decay == wanted
