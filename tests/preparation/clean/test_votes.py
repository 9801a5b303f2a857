"""Votes, duplicates and mixed identities against plain loops in float64."""

import numpy as np
import pytest

from preparation.clean.review import duplicates, mixed
from preparation.clean.rules import clean
from preparation.clean.votes import MeanCenters, Members, vote
from utils.errors import UserError

NOTHING = {"merges": np.empty((0, 2), np.int64), "splits": np.empty(0, np.int64)}


class Given:
    def __init__(self, rows):
        self.rows, self.per_class = rows, rows.shape[1]

    def read(self, start, stop):
        return self.rows[start:stop]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def draw(images=500, classes=40, per_class=3, size=16):
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, images).astype(np.int32)
    labels[labels == 7] = 8  # a class without images
    embeddings = rng.normal(size=(images, 2, size)).astype(np.float32) * 5
    centers = rng.normal(size=(classes, per_class, size)).astype(np.float32)
    return embeddings, labels, centers


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("per_class", [1, 3])
def test_votes_equal_a_loop_whatever_the_blocks(per_class, dtype, tmp_path):
    embeddings, labels, centers = draw(per_class=per_class)
    np.save(tmp_path / "x.npy", embeddings.astype(dtype))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    votes = vote(Members(mapped, labels, len(centers)), Given(centers), block_bytes=7 * per_class * 16 * 4)
    exact, held = unit(np.array(mapped[:, 0], np.float64)), unit(centers.astype(np.float64))
    for label in range(len(centers)):
        records = np.flatnonzero(labels == label)
        cosines = exact[records] @ held[label].T
        counts = np.bincount(cosines.argmax(axis=1), minlength=per_class) if len(records) else np.zeros(per_class)
        dominant = int(np.argmax(counts))
        assert votes.counts[label].tolist() == counts.tolist()
        assert votes.dominant[label] == dominant
        np.testing.assert_array_equal(votes.nearest[records], cosines.argmax(axis=1))
        np.testing.assert_allclose(votes.cosine[records], cosines[:, dominant], atol=1e-6)
        np.testing.assert_allclose(votes.nearest_cosine[records], cosines.max(axis=1), atol=1e-6)
        np.testing.assert_allclose(
            votes.apart[label], held[label, dominant] @ held[label, votes.second[label]], atol=1e-6
        )
    kept = clean(labels, votes, 75, **NOTHING).keep
    np.testing.assert_array_equal(kept, votes.cosine > np.cos(np.radians(75)))
    assert 0 < kept.sum() < len(kept)


def test_means_are_of_unit_embeddings():
    embeddings, labels, _ = draw()
    members = Members(embeddings, labels, 40)
    means = MeanCenters(members).read(5, 12)
    exact = unit(embeddings[:, 0].astype(np.float64))
    wanted = [exact[labels == label].sum(axis=0) for label in range(5, 12)]
    np.testing.assert_allclose(means[:, 0], wanted, atol=1e-5)
    assert not means[2].any()


def test_an_embedding_without_direction_is_refused():
    embeddings, labels, centers = draw()
    for value in (0, np.nan, np.inf):
        embeddings[11, 0] = value
        with pytest.raises(UserError, match="the embedding of image 11 is zero"):
            vote(Members(embeddings, labels, 40), Given(centers))


def test_duplicates_equal_all_pairs_and_the_nearest_are_listed():
    embeddings, labels, centers = draw()
    votes = vote(Members(embeddings, labels, 40), Given(centers))
    held = votes.directions.astype(np.float64)
    wanted = [
        (i, j) for i in range(40) for j in range(i + 1, 40) if 7 not in (i, j) and held[i] @ held[j] > np.cos(np.pi / 3)
    ]
    pairs, total = duplicates(votes, 60, block=9)
    assert total == len(wanted) > 5
    assert {(int(a), int(b)) for a, b, _ in pairs} == set(wanted)
    angles = [np.degrees(np.arccos(held[int(a)] @ held[int(b)])) for a, b, _ in pairs]
    np.testing.assert_allclose(pairs[:, 2], angles, atol=0.05)
    assert (np.diff(pairs[:, 2]) >= 0).all()
    few, total = duplicates(votes, 60, most=4, block=9)
    assert total == len(wanted)
    np.testing.assert_array_equal(few, pairs[:4])


def test_mixed_classes_have_two_centers_far_apart_with_many_votes():
    size = 8
    axes = np.eye(size, dtype=np.float32)
    near = unit(axes[0] + 0.3 * axes[1])
    # Two people; one person with two centers near each other; one person and a stray image; one person.
    centers = np.stack([[axes[0], axes[1]], [axes[0], near], [axes[0], axes[1]], [axes[0], axes[2]]])
    faces = [(0, axes[0])] * 4 + [(0, axes[1])] * 5 + [(1, axes[0])] * 4 + [(1, near)] * 5
    faces += [(2, axes[0])] * 9 + [(2, axes[1])] + [(3, axes[0])] * 3
    labels = np.array([label for label, _ in faces], np.int32)
    embeddings = np.stack([row for _, row in faces])[:, None]
    votes = vote(Members(embeddings, labels, 4), Given(centers))
    assert mixed(votes, 75, 0.25).tolist() == [0]
    assert mixed(votes, 5, 0.25).tolist() == [0, 1]
    assert mixed(votes, 75, 0.05, images=1).tolist() == [0, 2]

    split = clean(labels, votes, 75, np.array([[3, 2], [1, 3]]), np.array([0]))
    assert split.labels.tolist() == [4] * 4 + [0] * 5 + [1] * 9 + [1] * 10 + [1] * 3
    assert split.origins.tolist() == [0, 1, 2, 3, 0]
    assert np.flatnonzero(~split.keep).tolist() == [27]
