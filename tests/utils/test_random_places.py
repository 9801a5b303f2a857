"""Random numbers by place: the published generator, and normal numbers that depend on nothing but their place."""

import numpy as np
from scipy.stats import kstest

from utils.random_places import splitmix, standard_normal


def test_splitmix_is_the_published_generator():
    # The first three outputs from state 1234567 (Vigna's splitmix64.c)
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    numbers = splitmix(np.array([1234567], np.uint64), np.arange(3, dtype=np.uint64))
    np.testing.assert_array_equal(numbers, [(number >> 11) / 2**53 for number in expected])


def test_numbers_are_normal_and_independent():
    numbers = standard_normal([3, 4], np.arange(100_000))
    assert kstest(numbers, "norm").pvalue > 0.01
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.01
    assert abs(np.corrcoef(numbers, standard_normal([3, 5], np.arange(100_000)))[0, 1]) < 0.01


def test_a_number_depends_on_origin_and_place_alone():
    places = np.array([7, 0, 41_999_999, 3, 7])
    numbers = standard_normal([3, 4], places)
    np.testing.assert_array_equal(standard_normal([3, 4], places[2:3]), numbers[2:3])
    assert numbers[0] == numbers[4] and len(set(numbers)) == 4
    for other in ([4, 4], [3, 5]):
        assert not np.isin(standard_normal(other, places), numbers).any()
