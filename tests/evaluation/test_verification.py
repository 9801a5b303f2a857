"""Verification against a re-derivation from its definition, pair by pair and threshold by threshold."""

import math

import numpy as np
import pytest
from sklearn.decomposition import PCA

from evaluation.verification import combine_flip, judge, pair_distances, verify
from utils.errors import UserError


def _folds(pairs, folds=10):
    """Consecutive runs whose sizes differ by at most one, larger ones first."""
    sizes = [pairs // folds + (k < pairs % folds) for k in range(folds)]
    ends = np.cumsum(sizes)
    return [list(range(end - size, end)) for end, size in zip(ends, sizes, strict=True)]


def _naive(embeddings, flipped, issame, far_target=1e-3, folds=10):
    pairs = len(issame)
    total = [
        [float(a) + float(b) for a, b in zip(*rows, strict=True)] for rows in zip(embeddings, flipped, strict=True)
    ]
    unit = [[x / (math.sqrt(sum(y * y for y in row)) or 1.0) for x in row] for row in total]
    distance = np.array(
        [sum((a - b) ** 2 for a, b in zip(*unit[2 * k : 2 * k + 2], strict=True)) for k in range(pairs)]
    )
    accuracies, thresholds, tars, fars = [], [], [], []
    for test in _folds(pairs, folds):
        train = np.setdiff1d(np.arange(pairs), test)

        def accuracy(threshold, of):
            return np.mean((distance[of] < threshold) == issame[of])

        def accept_rate(threshold, of, same):
            judged = distance[of][issame[of] == same][:, None]
            return np.mean(judged < threshold, axis=0) if judged.size else np.full(np.size(threshold), math.nan)

        best = max(np.arange(0, 4, 0.01), key=lambda threshold, train=train: accuracy(threshold, train))
        accuracies.append(accuracy(best, test))
        thresholds.append(best)

        grid = np.arange(0, 4, 0.001)
        far = accept_rate(grid, train, False)
        chosen = 0.0
        if max(far) >= far_target:
            low = max(k for k in range(len(grid)) if far[k] <= far_target)
            chosen = grid[low]
            if low + 1 < len(grid):
                chosen += (grid[low + 1] - grid[low]) * (far_target - far[low]) / (far[low + 1] - far[low])
        tars.extend(accept_rate(chosen, test, True))
        fars.extend(accept_rate(chosen, test, False))
    tars, fars = ([x for x in rates if not math.isnan(x)] for rates in (tars, fars))
    norms = [math.sqrt(sum(float(x) ** 2 for x in row)) for rows in (embeddings, flipped) for row in rows]
    return {
        "accuracy": np.mean(accuracies),
        "std": np.std(accuracies),
        "threshold": np.mean(thresholds),
        "tar": np.mean(tars) if tars else math.nan,
        "tar_std": np.std(tars) if tars else math.nan,
        "far": np.mean(fars) if fars else math.nan,
        "xnorm": np.mean(norms),
        "pairs": pairs,
    }


def _separable(rng, pairs, noise, issame):
    """Embeddings whose same pairs share a direction, up to noise."""
    first = rng.normal(size=(pairs, 8))
    second = np.where(issame[:, None], first, rng.normal(size=(pairs, 8)))
    embeddings = np.stack([first, second], axis=1).reshape(2 * pairs, 8)
    return tuple((embeddings + noise * rng.normal(size=embeddings.shape)).astype(np.float32) for _ in range(2))


def _agrees(embeddings, flipped, issame, far_target=1e-3):
    result = vars(verify(embeddings, flipped, issame, far_target=far_target))
    expected = _naive(embeddings, flipped, issame, far_target)
    assert result.keys() == expected.keys()
    for key, value in expected.items():
        assert result[key] == pytest.approx(value, abs=1e-9, nan_ok=True), key


@pytest.mark.parametrize("pairs", [10, 60, 47])  # 47: folds of 5 and of 4
@pytest.mark.parametrize("noise", [0.1, 1.0])
@pytest.mark.parametrize("far_target", [1e-3, 0.1, 1.0])
def test_equals_the_definition(pairs, noise, far_target):
    rng = np.random.default_rng(pairs)
    issame = rng.random(pairs) < 0.5
    _agrees(*_separable(rng, pairs, noise, issame), issame, far_target)


def test_ties_take_the_first_best_threshold():
    rng = np.random.default_rng(1)
    corners = np.eye(4, dtype=np.float32)[rng.integers(0, 4, size=80)]  # distances are 0 or 2, nothing between
    _agrees(corners, corners, rng.random(40) < 0.5)


@pytest.mark.parametrize("far_target", [0.1, 0.25])
def test_far_equal_to_the_target_on_a_plateau(far_target):
    angles = np.repeat(
        np.linspace(0.05, 3.0, 20), 2
    )  # 40 different pairs at 20 distances: FAR in steps of 1/18 to 1/20
    embeddings = np.stack([np.ones((40, 2)) * [1, 0], np.stack([np.cos(angles), np.sin(angles)], 1)], 1).reshape(80, 2)
    order = np.random.default_rng(0).permutation(40)
    embeddings = embeddings.reshape(40, 2, 2)[order].reshape(80, 2)
    _agrees(embeddings, embeddings, np.arange(40) % 4 == 0, far_target)


@pytest.mark.parametrize("same", [True, False])
def test_one_kind_of_pairs_only(same):
    rng = np.random.default_rng(2)
    embeddings = rng.normal(size=(2, 60, 4))
    issame = np.full(30, same)
    _agrees(*embeddings, issame)
    result = verify(*embeddings, issame)
    assert math.isnan(result.far if same else result.tar)


def test_kinds_that_some_folds_lack():
    rng = np.random.default_rng(3)
    issame = np.arange(50) < 25
    _agrees(*_separable(rng, 50, 0.7, issame), issame)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_all_distances_the_same(sign):
    embeddings = np.tile([[1.0, 2.0], [sign * 1.0, sign * 2.0]], (20, 1))  # distance 0, then 4: above every threshold
    _agrees(embeddings, embeddings, np.arange(20) % 2 == 0)


def test_zero_embeddings_are_not_divided_by():
    _agrees(np.zeros((40, 3)), np.zeros((40, 3)), np.arange(20) % 2 == 0)


def test_perfect_separation():
    issame = np.arange(40) % 2 == 0
    result = verify(*_separable(np.random.default_rng(4), 40, 0.001, issame), issame)
    assert (result.accuracy, result.std, result.tar) == (1.0, 0.0, 1.0)


def test_parts():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 6, 4))
    np.testing.assert_array_equal(combine_flip(a, b), a + b)
    unit = a / np.linalg.norm(a, axis=1, keepdims=True)
    np.testing.assert_allclose(pair_distances(a), 2 - 2 * (unit[0::2] * unit[1::2]).sum(1), atol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_embeddings_name_the_images(value):
    embeddings = np.ones((40, 4))
    flipped = np.ones((40, 4))
    embeddings[7, 1] = flipped[31, 3] = value
    with pytest.raises(UserError, match=r"2 of 40 .* 7, 31"):
        verify(embeddings, flipped, np.ones(20, bool))


def test_fewer_pairs_than_folds():
    with pytest.raises(UserError, match=r"at least 10 pairs.* has 9"):
        verify(np.ones((18, 4)), np.ones((18, 4)), np.ones(9, bool))


def test_shapes_that_disagree():
    with pytest.raises(ValueError, match="for 20 pairs"):
        verify(np.ones((38, 4)), np.ones((38, 4)), np.ones(20, bool))


@pytest.mark.parametrize("folds", [2, 7])
def test_images_that_are_in_several_pairs(folds):
    rng = np.random.default_rng(6)
    pairs, issame = rng.integers(0, 12, size=(50, 2)), rng.random(50) < 0.5
    views = rng.normal(size=(12, 2, 5)).astype(np.float32)
    judged = judge(views, pairs, issame, folds=folds)
    apart = views[pairs.ravel()].transpose(1, 0, 2)  # as a .bin set would hold them
    expected = _naive(*apart, issame, folds=folds) | {"xnorm": np.mean(np.linalg.norm(views, axis=2))}
    assert vars(judged.result) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(judged.distances, pair_distances(combine_flip(*apart)), atol=1e-6)
    assert judged.accuracies.mean() == judged.result.accuracy and len(judged.thresholds) == folds


def test_without_mirror_images():
    rng = np.random.default_rng(7)
    issame = rng.random(30) < 0.5
    rows, _ = _separable(rng, 30, 0.5, issame)
    pairs = np.arange(60).reshape(-1, 2)
    alone, twice = (judge(views, pairs, issame).result for views in (rows[:, None], np.stack([rows, rows], axis=1)))
    assert vars(alone) == pytest.approx(vars(twice))


@pytest.mark.parametrize("components", [1, 3, 8])
def test_accuracy_after_pca_is_that_of_the_training_folds_components(components):
    rng = np.random.default_rng(8)
    issame = rng.random(60) < 0.5
    views = np.stack(_separable(rng, 60, 0.8, issame), axis=1) * np.linspace(0.2, 3, 8, dtype=np.float32)
    pairs = rng.permutation(120).reshape(-1, 2)
    judged = judge(views, pairs, issame, pca=components)

    unit = views.sum(axis=1, dtype=np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for number, test in enumerate(_folds(60)):
        train = np.setdiff1d(np.arange(60), test)
        model = PCA(components, svd_solver="full").fit(unit[pairs[train].ravel()])
        reduced = model.transform(unit)
        reduced /= np.linalg.norm(reduced, axis=1, keepdims=True)
        distance = np.square(reduced[pairs[:, 0]] - reduced[pairs[:, 1]]).sum(axis=1)
        right = [np.mean((distance[train] < t) == issame[train]) for t in np.arange(0, 4, 0.01)]
        threshold = 0.01 * np.argmax(right)
        assert judged.thresholds[number] == pytest.approx(threshold)
        assert judged.accuracies[number] == np.mean((distance[test] < threshold) == issame[test])
    plain = judge(views, pairs, issame)
    assert (judged.result.tar, judged.result.xnorm) == (plain.result.tar, plain.result.xnorm)
    np.testing.assert_array_equal(judged.distances, plain.distances)


def test_non_finite_embeddings_by_their_names():
    views = np.ones((40, 1, 4))
    views[3] = np.nan
    with pytest.raises(UserError, match=r"1 of 40 .* photo 3\)"):
        judge(views, np.arange(40).reshape(-1, 2), np.ones(20, bool), name=lambda image: f"photo {image}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"folds": 1}, "must be at least 2"),
        ({"folds": 21}, "21 folds need at least 21 pairs"),
        ({"pca": 5}, "PCA to 5 components is not possible: the embeddings allow 1 to 4"),
    ],
)
def test_options_that_are_not_possible(options, sentence):
    with pytest.raises(UserError, match=sentence):
        judge(np.ones((40, 1, 4)), np.arange(40).reshape(-1, 2), np.ones(20, bool), **options)
