"""The search for the largest number that holds."""

import pytest

from planning.search import largest


@pytest.mark.parametrize("limit", [3, 10, 999, 123_456, 10**9])
@pytest.mark.parametrize("guess", [1, 1000, 10**8])
def test_finds_the_limit_from_any_guess(limit, guess):
    tried = []
    good, bad = largest(lambda number: tried.append(number) or number <= limit, guess, tolerance=0.01)
    assert good <= limit < bad and bad - good <= max(1, 0.01 * good)
    assert len(tried) == len(set(tried)) < 40


def test_a_good_guess_takes_few_tries():
    tried = []
    largest(lambda number: tried.append(number) or number <= 1_000_000, 980_000)
    assert len(tried) <= 4


def test_nothing_holds():
    assert largest(lambda number: False, 1000, lowest=2) == (0, 2)
