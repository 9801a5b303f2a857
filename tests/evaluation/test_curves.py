"""ROC curves against their definition, threshold by threshold over every score that occurs."""

import itertools
import math

import numpy as np
import pytest

from evaluation.curves import pairs_needed, roc


def _operating_points(scores, same):
    """(FAR, TAR, threshold) of every threshold that makes a difference, from the one that accepts nothing."""
    points = [(0.0, 0.0, math.inf)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        accepted = scores >= threshold
        points.append((np.mean(accepted[~same]), np.mean(accepted[same]), threshold))
    return points


def _naive_eer(points):
    for (far0, tar0, _), (far1, tar1, _) in itertools.pairwise(points):
        low, high = far0 - (1 - tar0), far1 - (1 - tar1)
        if low < 0 <= high:
            return far0 + (far1 - far0) * -low / (high - low)
    raise AssertionError


def _sets():
    rng = np.random.default_rng(0)
    for count in (2, 17, 200):
        same = rng.random(count) < 0.4
        same[:2] = True, False
        yield rng.normal(size=count) + same, same
        yield rng.integers(0, 5, count) + same.astype(float), same  # ties within and between the kinds
        yield np.full(count, 0.25), same  # all alike
        yield same.astype(float), same  # perfect
        yield -same.astype(float), same  # all wrong
        yield rng.normal(size=count).astype(np.float32), same


@pytest.mark.parametrize("number", range(18))
def test_equals_the_definition(number):
    scores, same = list(_sets())[number]
    points = _operating_points(scores, same)
    curve = roc(scores, same)
    assert (curve.same, curve.different) == (same.sum(), (~same).sum())

    for far in (1e-3, 0.01, 0.1, 1 / 7, 0.3, 0.5, 0.99, 1.0):
        if (~same).sum() * far < 1 - 1e-9:
            assert curve.tar_at(far) is None and curve.threshold_at(far) is None
            continue
        _, tar, threshold = [point for point in points if point[0] <= far][-1]
        assert curve.tar_at(far) == tar
        assert curve.threshold_at(far) == threshold

    above = [[(a > b) + (a == b) / 2 for b in scores[~same]] for a in scores[same]]
    assert curve.auc == pytest.approx(np.mean(above))
    assert curve.auc == pytest.approx(np.trapz(curve.tar, curve.far))
    assert curve.eer == pytest.approx(_naive_eer(points))

    corners = list(zip(curve.far, curve.tar, curve.thresholds, strict=True))
    assert set(corners) <= set(points) and corners == sorted(corners, key=lambda corner: -corner[2])
    assert corners[0] == (0, 0, math.inf) and corners[-1][:2] == (1, 1)
    for far, tar, _ in points:  # what was left out is on the straight lines between the corners
        assert far in curve.far or tar == pytest.approx(np.interp(far, curve.far, curve.tar))
        assert max(t for f, t in zip(curve.far, curve.tar, strict=True) if f <= far) >= tar


@pytest.mark.parametrize("count", [100, 1000])
def test_a_rate_is_used_up_however_its_product_with_the_pairs_is_rounded(count):
    """0.29 * 100 is below 29, and 0.57 * 100 too; other products are above."""
    different = np.arange(count, dtype=float)
    curve = roc(np.r_[different, different + 0.5], np.arange(2 * count) >= count)
    accepted = [min(number + 1, count) / count for number in range(1, count + 1)]
    assert [curve.tar_at(number / count) for number in range(1, count + 1)] == accepted
    below = [curve.tar_at(np.nextafter(number / count, 0)) for number in range(1, count + 1)]
    assert below == [number / count for number in range(1, count + 1)]


def test_a_sample_of_the_curve_is_on_it():
    rng = np.random.default_rng(1)
    same = rng.random(5000) < 0.3
    curve = roc((rng.normal(size=5000) + 2 * same).astype(np.float32), same)
    far, tar = curve.sampled(100)
    assert len(far) == len(tar) == 100 and far[0] == 0 and (far[-1], tar[-1]) == (1, 1)
    np.testing.assert_array_equal(tar[1:], [curve.tar_at(each) for each in far[1:]])
    assert tar[0] == np.mean(curve.same_scores > curve.different_scores[-1])
    ratios = far[2:] / far[1:-1]
    np.testing.assert_allclose(ratios, ratios[0])
    whole = curve.sampled(10**6)
    np.testing.assert_array_equal(whole, (curve.far, curve.tar))


@pytest.mark.parametrize("kind", [True, False])
def test_one_kind_of_pairs_has_no_curve(kind):
    curve = roc(np.array([0.1, 0.2]), np.array([kind, kind]))
    assert curve.far.size == curve.tar.size == curve.thresholds.size == 0
    assert curve.auc is curve.eer is curve.tar_at(0.5) is curve.threshold_at(0.5) is None
    assert [part.size for part in curve.sampled(10)] == [0, 0]
    assert roc(np.empty(0), np.empty(0, bool)).auc is None


def test_a_histogram_counts_every_score():
    scores = np.array([-2.0, -1.0, -0.5, 0.0, 0.49, 0.5, 1.0, 3.0], dtype=np.float32)
    same = np.array([0, 0, 0, 1, 0, 1, 1, 1], bool)
    counted = roc(scores, same).histogram(np.linspace(-1, 1, 5))
    np.testing.assert_array_equal(counted, [[0, 0, 1, 3], [2, 1, 1, 0]])


def test_pairs_needed():
    assert [pairs_needed(10.0**-power) for power in range(1, 7)] == [10**power for power in range(1, 7)]
    assert pairs_needed(0.3) == 4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers(value):
    with pytest.raises(ValueError, match="NaN or infinite"):
        roc(np.array([0.0, value, 1.0]), np.array([True, True, False]))


def test_shapes_that_disagree():
    with pytest.raises(ValueError, match="scores"):
        roc(np.zeros(3), np.zeros(4, bool))
