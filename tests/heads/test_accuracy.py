"""The accuracy before the margin against a plain count, over ranks that are made up."""

import numpy as np
import oneflow as flow
import pytest

from heads import accuracy
from heads.accuracy import batch_accuracy
from heads.shards import shard_range


def made(images, classes, each, width, seed=0):
    """Directions near their own class, centers and labels."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(classes, each, width)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=2, keepdims=True)
    labels = rng.integers(0, classes, images)
    directions = centers[labels, rng.integers(0, each, images)] + rng.normal(size=(images, width)) * 0.35
    return directions.astype(np.float32), centers, labels


def counted(directions, centers, labels):
    products = directions.astype(float) @ centers.astype(float).reshape(-1, centers.shape[2]).T
    return (products.reshape(len(labels), len(centers), -1).max(axis=2).argmax(axis=1) == labels).mean()


def over_ranks(directions, centers, labels, ranks, dtype=flow.float32):
    """As `ranks` ranks find it, each with its share of the classes."""
    shares = [shard_range(len(centers), ranks, rank) for rank in range(ranks)]
    sent = []
    for _ in range(2):  # in the first pass what each sends is noted, in the second it is all there

        def exchange(numbers):
            sent.append(numbers)
            return np.stack(sent[:ranks])

        by_rank = {
            batch_accuracy(
                flow.tensor(directions), flow.tensor(centers[start:stop]).to(dtype), labels - start, exchange
            )
            for start, stop in shares
        }
    (value,) = by_rank
    return value


@pytest.mark.parametrize("each", [1, 3])
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("block", [1 << 22, 500])  # products at a time
def test_equals_a_plain_count(monkeypatch, each, ranks, block):
    monkeypatch.setattr(accuracy, "_BLOCK", block)
    directions, centers, labels = made(40, 101, each, 8)
    expected = counted(directions, centers, labels)
    assert 0.3 < expected < 0.9
    assert over_ranks(directions, centers, labels, ranks) == pytest.approx(expected)
    assert over_ranks(directions * np.geomspace(1e-30, 1e30, 40, dtype="f")[:, None], centers, labels, ranks) == (
        pytest.approx(expected)
    )


def test_centers_in_half_are_compared_in_full():
    directions, centers, labels = made(40, 101, 1, 8)
    half = centers.astype(np.float16).astype(np.float32)
    expected = counted(directions, half, labels)
    assert over_ranks(directions, half, labels, 2, flow.float16) == pytest.approx(expected)


def test_an_embedding_without_a_direction_is_wrong():
    directions, centers, labels = made(4, 5, 1, 8)
    assert over_ranks(directions * 0, centers, labels, 1) == 0
