"""Which classes a step sees: all positives, a fair choice of the others, the same again for the same step."""

import numpy as np
import pytest

from heads.sampling import ClassSampler, draw_without_replacement
from heads.shards import shard_range


@pytest.mark.parametrize(("n", "count"), [(10, 0), (10, 10), (10, 3), (10, 8), (1, 1), (1000, 37), (100_000_000, 500)])
def test_numbers_are_different_and_in_order(n, count):
    drawn = draw_without_replacement(np.random.default_rng(0), n, count)
    assert drawn.shape == (count,) and drawn.dtype == np.int64
    assert (np.diff(drawn) > 0).all()
    assert count == 0 or (drawn[0] >= 0 and drawn[-1] < n)


@pytest.mark.parametrize(("n", "count"), [(6, 2), (6, 3), (6, 5)])
def test_every_set_is_as_likely(n, count):
    rng, rounds = np.random.default_rng(1), 6000
    seen = {}
    for _ in range(rounds):
        key = tuple(draw_without_replacement(rng, n, count))
        seen[key] = seen.get(key, 0) + 1
    sets = {2: 15, 3: 20, 5: 6}[count]
    assert len(seen) == sets
    expected = rounds / sets
    chi_square = sum((times - expected) ** 2 / expected for times in seen.values())
    assert chi_square < sets - 1 + 5 * np.sqrt(2 * (sets - 1))  # five standard deviations


def samplers(classes, ranks, rate, batch, seed=3):
    return [ClassSampler(classes, ranks, rank, rate, batch, seed) for rank in range(ranks)]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("classes", [7, 21, 1001])
@pytest.mark.parametrize("rate", [1.0, 0.5, 0.1, 0.001])
@pytest.mark.parametrize("labels", ["any", "same", "first", "all"])
def test_positives_take_part_and_labels_find_them(ranks, classes, rate, labels):
    batch = 28
    below = {"any": classes, "same": 1, "first": max(1, classes // ranks // 2), "all": min(classes, batch)}[labels]
    y = np.random.default_rng(0).integers(0, below, batch) if labels != "all" else np.arange(batch) % below
    drawn = [sampler.draw(9, y) for sampler in samplers(classes, ranks, rate, batch)]
    whole = []
    for rank, sample in enumerate(drawn):
        start, stop = shard_range(classes, ranks, rank)
        sampler = samplers(classes, ranks, rate, batch)[rank]
        assert sampler.takes_all == isinstance(sample.rows, slice)
        rows = np.arange(stop - start)[sample.rows]
        assert len(rows) == sampler.count
        assert len(np.unique(rows)) == len(rows)
        np.testing.assert_array_equal(sample.labels, drawn[0].labels)
        whole.append(rows + start)
    np.testing.assert_array_equal(np.concatenate(whole)[drawn[0].labels], y)


def test_the_sample_is_the_share_asked_for_or_as_large_as_the_batch():
    assert samplers(1000, 2, 0.1, 8)[0].counts == [50, 50]
    assert samplers(1000, 2, 0.01, 64)[0].counts == [64, 64]
    assert samplers(21, 2, 0.1, 64)[0].counts == [11, 10]
    assert samplers(1001, 3, 1.0, 8)[0].counts == [334, 334, 333]


def test_a_step_draws_the_same_again_and_others_draw_other_classes():
    y = np.arange(16)
    one, two = samplers(1000, 2, 0.1, 16)
    again = ClassSampler(1000, 2, 0, 0.1, 16, 3)
    np.testing.assert_array_equal(one.draw(5, y).rows, again.draw(5, y).rows)
    assert not np.array_equal(one.draw(5, y).rows, one.draw(6, y).rows)
    assert not np.array_equal(one.draw(5, np.full(16, 999)).rows, two.draw(5, np.full(16, 0)).rows)
    assert not np.array_equal(one.draw(5, y).rows, ClassSampler(1000, 2, 0, 0.1, 16, 4).draw(5, y).rows)


def test_every_negative_is_drawn_as_often():
    sampler = ClassSampler(200, 1, 0, 0.25, 8, 0)
    y = np.array([0, 50, 50, 199, 100, 101, 102, 103])
    seen = np.zeros(200)
    for step in range(2000):
        seen[sampler.draw(step, y).rows] += 1
    positives = np.unique(y)
    assert (seen[positives] == 2000).all()
    chance = (50 - len(positives)) / (200 - len(positives))
    others = np.delete(seen, positives) / 2000
    assert np.abs(others - chance).max() < 5 * np.sqrt(chance * (1 - chance) / 2000)
