"""Verification as InsightFace measures it: k-fold accuracy and TAR at a fixed FAR over pairs of embeddings.

The protocol is that of Labeled Faces in the Wild (Huang et al., 2007): thresholds are chosen on nine folds and judged
on the tenth. A pair is accepted where its squared distance is below the threshold.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evaluation.pca import principal_axes
from utils.errors import UserError

ACCURACY_THRESHOLDS = np.arange(0, 4, 0.01)  # squared distances of unit vectors lie in [0, 4]
FOLDS = 10
FAR_THRESHOLDS = np.arange(0, 4, 0.001)
FAR_TARGET = 1e-3
_BLOCK = 1 << 14  # pairs whose embeddings are compared at a time


@dataclass(frozen=True)
class VerificationResult:
    """What a verification set says about a backbone; shares are in [0, 1]."""

    accuracy: float  # mean over the folds
    std: float  # of the accuracy over the folds
    threshold: float  # squared distance, mean of the folds' best
    tar: float  # true accept rate at the target FAR, mean over the folds that hold same pairs; NaN without any
    tar_std: float  # of the TAR over those folds
    far: float  # false accept rate met on the test folds, mean over those that hold different pairs; NaN without any
    xnorm: float  # mean L2 norm of an embedding as the backbone gives it, mirror images' included
    pairs: int


@dataclass(frozen=True)
class Judged:
    """Each pair and each fold behind a `VerificationResult`."""

    result: VerificationResult
    distances: np.ndarray  # (pairs,) squared, of the embeddings as they are, without PCA
    accuracies: np.ndarray  # (folds,)
    thresholds: np.ndarray  # (folds,) squared distances


def verify(
    embeddings: np.ndarray, flipped: np.ndarray, issame: np.ndarray, folds: int = FOLDS, far_target: float = FAR_TARGET
) -> VerificationResult:
    """Judges the embeddings of a set's images and of their mirror images, (2 x pairs, E), by `issame` (pairs,) bool.

    Rows 2k and 2k + 1 are pair k. Raises as `judge`, and ValueError where the shapes disagree.
    """
    if embeddings.shape != flipped.shape or embeddings.ndim != 2 or len(embeddings) != 2 * len(issame):
        raise ValueError(f"embeddings {embeddings.shape} and {flipped.shape} for {len(issame)} pairs")
    pairs = np.arange(len(embeddings)).reshape(-1, 2)
    return judge(np.stack([embeddings, flipped], axis=1), pairs, issame, folds, far_target).result


def judge(
    embeddings: np.ndarray,
    pairs: np.ndarray,
    issame: np.ndarray,
    folds: int = FOLDS,
    far_target: float = FAR_TARGET,
    pca: int = 0,
    name: Callable[[int], str] = str,
) -> Judged:
    """Judges images' embeddings (N, 2, E), [:, 1] of the mirror images, or (N, 1, E) without them.

    pairs: (pairs, 2) rows of the embeddings; issame: (pairs,) bool; name: of an image, for a person to find it.

    Accuracy: on each fold, at the threshold (0 to 4 step 0.01, the first of equals) that is best on the other folds.
    TAR at FAR: on each fold, at the threshold where the FAR of the other folds reaches `far_target`, with FAR taken as
    linear between thresholds 0 to 4 step 0.001, and the largest such threshold; 0, which accepts nothing, where the FAR
    stays below the target (or there are no different pairs).
    pca: as in InsightFace, accuracy (but not TAR at FAR) is that of the unit embeddings' first so many principal
    components, fitted on the images of the other folds and normalized again.

    Raises UserError where an embedding is NaN or infinite, there are fewer pairs than folds, fewer than 2 folds, or
    less than `pca` components.
    """
    issame = np.asarray(issame, dtype=bool)
    if folds < 2:
        raise UserError(f"{folds} fold(s) are not possible: one is tested by the others, so there must be at least 2")
    if len(issame) < folds:
        raise UserError(f"{folds} folds need at least {folds} pairs, and the verification set has {len(issame)}")
    _refuse_non_finite(embeddings, name)
    # As InsightFace: with float32 the rounding alone could carry a distance over a threshold.
    views = embeddings.transpose(1, 0, 2).astype(np.float64, order="C")
    unit = unit_rows(combine_flip(*views) if len(views) == 2 else views[0])
    distances = _distances(unit, pairs)
    fold = _fold_of_pair(len(issame), folds)
    if pca:
        accuracies, thresholds = _accuracy_after_pca(unit, pairs, issame, fold, pca)
    else:
        accuracies, thresholds = _accuracy_of_folds(distances, issame, fold)
    tars, fars = _tar_far_of_folds(distances, issame, fold, far_target)
    result = VerificationResult(
        accuracy=float(accuracies.mean()),
        std=float(accuracies.std()),
        threshold=float(thresholds.mean()),
        tar=float(tars.mean()) if tars.size else float("nan"),
        tar_std=float(tars.std()) if tars.size else float("nan"),
        far=float(fars.mean()) if fars.size else float("nan"),
        xnorm=float(np.linalg.norm(views, axis=2).mean()),
        pairs=len(issame),
    )
    return Judged(result, distances, accuracies, thresholds)


def combine_flip(embeddings: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """The sum of the embeddings of images and of their mirror images, (N, E) and (N, E) -> (N, E)."""
    return embeddings + flipped


def pair_distances(embeddings: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of the L2-normalized rows 2k and 2k + 1, (2 x pairs, E) -> (pairs,)."""
    return _distances(unit_rows(embeddings), np.arange(len(embeddings)).reshape(-1, 2))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows (N, E) of length 1, or 0 where they were. Added up as scikit-learn does, whose import takes seconds."""
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return rows / np.where(norms > 0, norms, 1)


def _distances(unit: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances of the rows that `pairs` (pairs, 2) names, (pairs,)."""
    distances = np.empty(len(pairs))
    for start in range(0, len(pairs), _BLOCK):
        first, second = pairs[start : start + _BLOCK].T
        distances[start : start + _BLOCK] = np.square(unit[first] - unit[second]).sum(axis=1)
    return distances


def _refuse_non_finite(embeddings: np.ndarray, name: Callable[[int], str]) -> None:
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=(1, 2)))
    if bad.size:
        first = ", ".join(name(int(image)) for image in bad[:5])
        raise UserError(
            f"the backbone gives NaN or infinity for {bad.size} of {len(embeddings)} verification images "
            f"(the first: {first}): its weights or running statistics have diverged"
        )


def _fold_of_pair(pairs: int, folds: int) -> np.ndarray:
    """The number of the fold that tests each pair, (pairs,): consecutive runs, as the sets are ordered by fold."""
    sizes = [pairs // folds + (number < pairs % folds) for number in range(folds)]
    return np.repeat(np.arange(folds), sizes)


def _accepted(distances: np.ndarray, fold: np.ndarray, folds: int, thresholds: np.ndarray) -> np.ndarray:
    """How many of a fold's distances are below each threshold, (folds, thresholds)."""
    first = np.searchsorted(thresholds, distances, side="right")  # the first threshold above each distance
    bins = len(thresholds) + 1
    counts = np.bincount(fold * bins + first, minlength=folds * bins).reshape(folds, bins)
    return counts[:, :-1].cumsum(axis=1)


def _training(counts: np.ndarray) -> np.ndarray:
    """From counts in each fold (first axis) to counts in all the other folds."""
    return counts.sum(axis=0) - counts


def _accuracy_of_folds(distances: np.ndarray, issame: np.ndarray, fold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each fold's accuracy and the threshold it is measured at, (folds,) and (folds,)."""
    sizes = np.bincount(fold)
    folds = len(sizes)
    true_accepts = _accepted(distances[issame], fold[issame], folds, ACCURACY_THRESHOLDS)
    false_accepts = _accepted(distances[~issame], fold[~issame], folds, ACCURACY_THRESHOLDS)
    different = np.bincount(fold[~issame], minlength=folds)
    right = true_accepts + different[:, None] - false_accepts
    best = _training(right).argmax(axis=1)
    return right[np.arange(folds), best] / sizes, ACCURACY_THRESHOLDS[best]


def _accuracy_after_pca(
    unit: np.ndarray, pairs: np.ndarray, issame: np.ndarray, fold: np.ndarray, components: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `_accuracy_of_folds`, each fold with the components of the images of all others."""
    accuracies, thresholds = np.empty((2, fold.max() + 1))
    for tested in range(len(accuracies)):
        mean, axes = principal_axes(unit, np.bincount(pairs[fold != tested].ravel(), minlength=len(unit)), components)
        distances = _distances(unit_rows((unit - mean) @ axes), pairs)
        of_folds = _accuracy_of_folds(distances, issame, fold)
        accuracies[tested], thresholds[tested] = (values[tested] for values in of_folds)
    return accuracies, thresholds


def _tar_far_of_folds(
    distances: np.ndarray, issame: np.ndarray, fold: np.ndarray, far_target: float
) -> tuple[np.ndarray, np.ndarray]:
    """TAR of each fold that holds same pairs and FAR of each that holds different ones, (<= folds,) and (<= folds,)."""
    folds = fold.max() + 1
    different = np.bincount(fold[~issame], minlength=folds)
    false_accepts = _training(_accepted(distances[~issame], fold[~issame], folds, FAR_THRESHOLDS))
    far_train = false_accepts / np.maximum(_training(different), 1)[:, None]
    threshold = np.array([_threshold_at(far_target, far) for far in far_train])
    accepted = distances < threshold[fold]
    return _rates(accepted[issame], fold[issame]), _rates(accepted[~issame], fold[~issame])


def _threshold_at(far_target: float, far: np.ndarray) -> float:
    """The largest threshold at which `far` (thresholds,), rising and linear between thresholds, is `far_target`."""
    if far[-1] < far_target:
        return 0.0
    below = np.searchsorted(far, far_target, side="right") - 1  # far[0] is 0: nothing is closer than 0
    return float(np.interp(far_target, far[below : below + 2], FAR_THRESHOLDS[below : below + 2]))


def _rates(accepted: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The share of accepted pairs in each fold that holds any, (<= folds,)."""
    sizes = np.bincount(fold)
    held = sizes > 0
    return np.bincount(fold, weights=accepted)[held] / sizes[held]
