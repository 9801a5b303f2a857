"""Curves in bounded memory."""

import numpy as np
import pytest

from tracking.series import POINTS, Curve, Curves

pytestmark = pytest.mark.fast


def test_a_short_curve_is_as_it_was_added():
    curve = Curve()
    for step in range(10, 210, 10):
        curve.add(step, 1 / step)
    assert curve.steps == list(range(10, 210, 10)) and curve.values == [1 / step for step in curve.steps]
    assert curve.together == 1


@pytest.mark.parametrize("count", [8, 15, 16, 17, 100, 4097])
def test_a_long_curve_is_of_means_of_equally_many(count):
    curve, values = Curve(limit=4), np.random.default_rng(0).normal(size=count)
    for step, value in enumerate(values, 1):
        curve.add(step, value)
    assert len(curve.steps) <= 8 and curve.together & (curve.together - 1) == 0
    groups = [values[start : start + curve.together] for start in range(0, count, curve.together)]
    np.testing.assert_allclose(curve.values, [group.mean() for group in groups], rtol=0, atol=1e-12)
    assert curve.steps == [min(start + curve.together, count) for start in range(0, count, curve.together)]


def test_a_million_steps_stay_few_points():
    curves = Curves()
    for step in range(1, 100_001):
        curves.add(10 * step, {"train/loss": 1.0, "broken": float("nan")})
    assert len(curves["train/loss"].steps) <= 2 * POINTS and curves.last_step == 1_000_000
    assert "broken" not in curves
