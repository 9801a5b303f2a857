"""Numbers in two bytes, rounded up or down at random."""

import numpy as np
import oneflow as flow
import pytest

from heads.stores.device_rounding import round_randomly
from heads.stores.half import from_bfloat16, to_bfloat16, to_float16


@pytest.mark.parametrize("narrow", ["float16", "bfloat16"])
def test_rounding_is_right_on_average(narrow):
    rng = np.random.default_rng(0)
    values = (rng.choice([-1, 1], 64) * rng.uniform(1, 2, 64) * 10.0 ** rng.integers(-4, 3, 64)).astype("f")
    many = np.repeat(values[:, None], 20000, axis=1)
    noise = rng.integers(0, 1 << 32, many.shape, np.uint32)
    rounded = to_float16(many, noise).astype("d") if narrow == "float16" else from_bfloat16(to_bfloat16(many, noise))
    spacing = np.abs(values) * 2.0 ** (-10 if narrow == "float16" else -7)
    assert (np.abs(rounded - many) <= spacing[:, None]).all()
    error = np.abs(rounded.astype("d").mean(axis=1) - values)
    assert (error < 5 * spacing / np.sqrt(12 * 20000) * np.sqrt(3)).all()


@pytest.mark.parametrize("dtype", [flow.float16, flow.bfloat16])
def test_rounding_on_a_device_is_right_on_average(dtype):
    rng = np.random.default_rng(0)
    values = (rng.choice([-1, 1], 64) * rng.uniform(1, 2, 64) * 10.0 ** rng.integers(-4, 3, 64)).astype("f")
    values[:4] = 1.0, 0.0, 3e-6, 2.0**-15  # exact, zero, and where float16 has fewer digits
    many = np.repeat(values[:, None], 20000, axis=1)
    noise = flow.tensor(rng.random(many.shape, np.float32))
    rounded = round_randomly(flow.tensor(many), dtype, noise).to(flow.float32).numpy().astype("d")
    again = round_randomly(flow.tensor(rounded.astype("f")), dtype, noise).to(flow.float32).numpy()
    np.testing.assert_array_equal(again, rounded)  # what it can hold stays
    bits = 10 if dtype == flow.float16 else 7
    spacing = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(values), 1e-30))) - bits)
    if dtype == flow.float16:
        spacing = np.maximum(spacing, 2.0**-24)
    assert (np.abs(rounded - values[:, None]) <= spacing[:, None]).all()
    error = np.abs(rounded.mean(axis=1) - values)
    assert (error <= 5 * spacing / 2 / np.sqrt(20000)).all()
