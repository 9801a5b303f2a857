"""Margins against the papers' formula: values, gradients by finite differences, and what happens at the extremes."""

import numpy as np
import oneflow as flow
import pytest

from losses import Rows, make_margin

MARGINS = [(1.0, 0.5, 0.0), (1.0, 0.0, 0.4), (1.0, 0.3, 0.2), (1.35, 0.0, 0.0), (4.0, 0.0, 0.0), (0.9, 0.4, 0.15)]
ORDINARY = np.linspace(0.05, 3.09, 400)


def formula(theta, m1, m2, m3):
    """cos(phi) - m3 up to phi = pi; then mirrored down, each turn 2 lower (SphereFace, equation 7)."""
    phi = m1 * theta + m2
    values = []
    for angle in np.atleast_1d(phi):
        turns = 0
        while angle > np.pi:
            angle, turns = angle - np.pi, turns + 1
        values.append(np.cos(angle) - 2 * turns)
    return np.array(values) - m3


def apply(cosines, margins, gradient="exact", dtype=flow.float64):
    """Values and slopes at (B,) cosines."""
    margin = make_margin("combined", **dict(zip(("m1", "m2", "m3"), margins, strict=True)), gradient=gradient)
    cosine = flow.tensor(np.asarray(cosines).reshape(-1, 1), dtype=dtype)
    rows = Rows(cosine, flow.ones_like(cosine), {})
    return margin.target(rows).numpy().ravel(), margin.slope(rows).numpy().ravel()


@pytest.mark.parametrize("margins", MARGINS)
def test_value_is_the_papers_formula(margins):
    values, _ = apply(np.cos(ORDINARY), margins)
    np.testing.assert_allclose(values, formula(ORDINARY, *margins), atol=1e-9)


@pytest.mark.parametrize("margins", MARGINS)
def test_gradient_is_the_slope_of_the_formula(margins):
    h = 1e-6
    cosines = np.cos(ORDINARY)
    slope = (formula(np.arccos(cosines + h), *margins) - formula(np.arccos(cosines - h), *margins)) / (2 * h)
    _, gradients = apply(cosines, margins)
    np.testing.assert_allclose(gradients, slope, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("margins", MARGINS)
@pytest.mark.parametrize("theta", [2e-3, 1e-2, np.pi - 0.5 - 1e-3, np.pi - 0.5 + 1e-3, np.pi - 1e-2, np.pi - 2e-3])
def test_gradient_at_extreme_angles(margins, theta):
    h = 1e-8
    slope = (formula(theta + h, *margins) - formula(theta - h, *margins)) / (2 * h) / -np.sin(theta)
    _, gradients = apply([np.cos(theta)], margins)
    np.testing.assert_allclose(gradients, slope, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("margins", MARGINS)
def test_logit_falls_as_the_angle_grows(margins):
    values, gradients = apply(np.cos(np.linspace(0.01, np.pi - 0.01, 2000)), margins)
    assert (np.diff(values) < 0).all() and (gradients > -1e-9).all()


@pytest.mark.parametrize("margins", MARGINS)
@pytest.mark.parametrize("gradient", ["exact", "straight_through"])
def test_parallel_and_opposite_vectors_give_numbers(margins, gradient):
    ends = np.array([1, -1, 1 + 1e-6, -1 - 1e-6, 1 - 1e-7, -1 + 1e-7])  # rounding overshoots the ends
    values, gradients = apply(ends, margins, gradient, flow.float32)
    assert np.isfinite(values).all() and np.isfinite(gradients).all()
    exact, clipped = gradient == "exact", np.clip(ends, -1, 1)
    expected = formula(np.arccos(clipped), *margins) if exact else arcface_torch(clipped, *margins)
    np.testing.assert_allclose(values, expected, atol=0.02)


def arcface_torch(cosine, m1, m2, m3):
    """CombinedMarginLoss's target: ArcFace if m1 = 1 and m3 = 0, else CosFace if m3 > 0; other m1 only here."""
    return cosine - m3 if m3 > 0 else np.cos(m1 * np.arccos(cosine) + m2)


@pytest.mark.parametrize("margins", MARGINS)
def test_straight_through_is_what_arcface_torch_computes(margins):
    cosines = np.cos(np.linspace(0, np.pi, 500))  # past pi - m2, where the exact margin goes on falling, too
    values, slopes = apply(cosines, margins, "straight_through")
    np.testing.assert_allclose(values, arcface_torch(cosines, *margins), atol=1e-9)
    np.testing.assert_array_equal(slopes, 1)


def test_straight_through_differs_from_the_exact_margin_past_pi_and_if_m2_and_m3_meet():
    past = [np.cos(np.pi - 0.2)]
    assert apply(past, (1.0, 0.5, 0.0), "straight_through")[0] > apply(past, (1.0, 0.5, 0.0))[0] + 0.05
    ordinary = [np.cos(1.0)]
    np.testing.assert_allclose(apply(ordinary, (1.0, 0.3, 0.2), "straight_through")[0], np.cos(1.0) - 0.2)


def test_cosface_loses_no_digits():
    cosines = np.cos(ORDINARY).astype(np.float32)
    values, _ = apply(cosines, (1.0, 0.0, 0.4), dtype=flow.float32)
    np.testing.assert_array_equal(values, cosines - np.float32(0.4))
