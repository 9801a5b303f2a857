"""Samplers: shares of classes and images over epochs, and batches that are balanced whatever the classes' sizes."""

import re

import numpy as np
import pytest

from data.samplers import Epoch, list_samplers, make_sampler
from data.samplers.by_class import RecordsByClass, shares, shares_up_to
from utils.config.grammar import read_signatures
from utils.config.rules import SAMPLERS_FOLDER
from utils.errors import UserError


def labels_of(sizes, seed=0):
    labels = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    return np.random.default_rng(seed).permutation(labels)


def records(sampler, labels, batch, epochs, seed=7):
    """(epochs, steps, batch)"""
    steps = len(labels) // batch
    plans = [Epoch(seed, number, len(labels), steps, batch) for number in range(epochs)]
    return np.stack([sampler.records(plan, lambda: labels).reshape(steps, batch) for plan in plans])


def long_tail(classes, seed=1):
    return np.maximum(1, np.random.default_rng(seed).pareto(1.0, classes) * 5).astype(int)


SIZES = {
    "equal": [30] * 40,
    "tail": long_tail(300),
    "one_dominates": [2000] + [8] * 60,
    "as_many_classes_as_groups": [5, 9, 40, 100, 200, 7, 4, 4],
    "small_ones": [1, 2, 3] * 30 + [10] * 20,
}


@pytest.mark.parametrize("images", [1, 2, 4])
@pytest.mark.parametrize("name", SIZES)
def test_balanced_batches_have_different_images_of_different_classes(name, images):
    sizes = np.array(SIZES[name])
    labels = labels_of(sizes)
    groups = min(8, (sizes >= images).sum())
    drawn = records(make_sampler("balanced", images=images), labels, groups * images, 3)
    assert drawn.dtype == np.uint32
    by_group = labels[drawn].reshape(*drawn.shape[:2], groups, images)
    assert (by_group == by_group[..., :1]).all()
    classes = np.sort(by_group[..., 0], axis=-1)
    assert (classes[..., 1:] != classes[..., :-1]).all()
    ordered = np.sort(drawn, axis=-1)
    assert (ordered[..., 1:] != ordered[..., :-1]).all()
    assert (sizes[classes] >= images).all()


def test_balanced_classes_come_in_proportion_to_their_images():
    sizes = np.minimum(SIZES["tail"], 60)
    labels, epochs, images = labels_of(sizes), 200, 4
    drawn = records(make_sampler("balanced", images=images), labels, 40, epochs)
    counts = np.bincount(labels[drawn].ravel(), minlength=len(sizes)) / epochs
    takes_part = sizes >= images
    expected = np.where(takes_part, sizes, 0) * drawn[0].size / sizes[takes_part].sum()
    # A group more or less in each epoch, at random
    assert np.abs(counts - expected).max() < images * 2 / np.sqrt(epochs)


def test_images_of_a_class_take_turns():
    labels = labels_of([24] * 20)
    for drawn in records(make_sampler("balanced", images=4), labels, 40, 5):
        assert len(np.unique(drawn)) == len(labels)  # 480 of 480: an epoch is a pass here
    labels = labels_of([21] * 20 + [3] * 20)  # what the small classes leave is filled up
    for drawn in records(make_sampler("balanced", images=4), labels, 40, 5):
        counts = np.bincount(drawn.ravel(), minlength=len(labels))
        for label in range(20):
            assert np.ptp(counts[labels == label]) <= 1


def test_groups_meet_in_all_ways():
    """In a few epochs each class meets nearly each other one in a batch, and lies at each place."""
    labels, classes = labels_of([16] * 32), 32
    epochs = 100
    drawn = labels[records(make_sampler("balanced", images=4), labels, 32, epochs)][..., ::4]
    met, places = np.zeros((classes, classes), int), np.zeros((classes, 8), int)
    for batch in drawn.reshape(-1, 8):
        met[np.ix_(batch, batch)] += 1
        places[batch, np.arange(8)] += 1
    apart = met[~np.eye(classes, dtype=bool)]
    expected = epochs * 16 * 8 * 7 / (classes * (classes - 1))
    assert abs(apart.mean() - expected) < 1e-9 and apart.min() > expected / 2 and apart.max() < expected * 2
    assert places.min() > epochs * 4 / 8 / 2


@pytest.mark.parametrize(("power", "expected"), [(0.0, [10, 10, 10]), (0.5, [5, 10, 15]), (1.0, [2, 9, 19])])
def test_class_balanced_shares(power, expected):
    sizes = np.array([20, 80, 180])
    labels, batch, epochs = labels_of(sizes), 28, 90
    drawn = records(make_sampler("class_balanced", power=power), labels, batch, epochs)
    got = np.bincount(labels[drawn].ravel()) / epochs
    exact = sizes**power / (sizes**power).sum() * drawn[0].size
    np.testing.assert_allclose(exact / 280 * 30, expected, atol=0.7)  # the table above
    assert np.abs(got - exact).max() < 0.3
    for each in drawn:
        counts = np.bincount(each.ravel(), minlength=len(labels))
        assert all(np.ptp(counts[labels == label]) <= 1 for label in range(3))  # images take turns
    halves = labels[drawn].reshape(epochs, 2, -1)  # the order is random
    assert abs((halves[:, 0] == 0).mean() - (halves[:, 1] == 0).mean()) < 0.02


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_shares_add_up_and_are_right_on_average(dtype):
    weights = np.random.default_rng(2).integers(0, 50, 400).astype(dtype)
    exact = weights / weights.sum() * 1000
    total = np.zeros(400)
    for seed in range(300):
        dealt = shares(weights, 1000, np.random.default_rng(seed))
        assert dealt.sum() == 1000 and (np.abs(dealt - exact) < 1).all()
        total += dealt
    assert np.abs(total / 300 - exact).max() < 0.15


def test_what_is_too_much_for_one_goes_to_the_others():
    dealt = shares_up_to(np.array([1000, 300, 10, 10, 10]), 25, 10, np.random.default_rng(0))
    assert list(dealt[:2]) == [10, 10] and dealt.sum() == 25 and set(dealt[2:]) <= {1, 2}
    np.testing.assert_array_equal(shares_up_to(np.array([7, 900]), 6, 3, np.random.default_rng(0)), [3, 3])


def test_records_by_class_are_each_class_once_in_an_order_of_its_own():
    labels = labels_of([5, 0, 3])
    orders = set()
    for seed in range(20):
        by_class = RecordsByClass(labels, np.random.default_rng(seed))
        first = by_class.take(np.zeros(10, int), np.arange(10))
        np.testing.assert_array_equal(first[:5], first[5:])
        assert set(first) == set(np.flatnonzero(labels == 0))
        assert set(by_class.take(np.full(3, 2), np.arange(3))) == set(np.flatnonzero(labels == 2))
        orders.add(tuple(first[:5]))
    assert len(orders) > 10


def test_epochs_differ_and_repeat():
    labels = labels_of([16] * 32)
    for name in ("shuffle", "balanced", "class_balanced"):
        first, second = records(make_sampler(name), labels, 32, 2)
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(records(make_sampler(name), labels, 32, 2)[1], second)
        assert not np.array_equal(records(make_sampler(name), labels, 32, 1, seed=8)[0], first)


def test_what_is_registered_is_what_configs_may_name():
    assert set(list_samplers()) == set(read_signatures(SAMPLERS_FOLDER))


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("balanced", {"images": 0}, "images = 0 of balanced is not possible"),
        ("balanced", {"images": 2.5}, "images = 2.5 of balanced"),
        ("class_balanced", {"power": 2}, "power = 2 of class_balanced"),
        ("weighted", {}, "needs a file of weights"),
        ("weighted", {"path": "/nowhere.npy"}, "no .npy file that can be read"),
    ],
)
def test_values_that_are_not_possible(name, parameters, words):
    with pytest.raises(UserError, match=re.escape(words)):
        make_sampler(name, **parameters)
