"""Receiver operating characteristic: what share of same and of different pairs a threshold on their scores accepts.

A pair is accepted where score >= threshold, so that pairs of equal score are accepted together. Written for the 16
million pairs of IJB-C: each kind of pairs is sorted once, and all else is a search in the two sorted arrays.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Roc:
    """The curve of a set of pairs, whose scores it holds in rising order.

    `far`, `tar` and `thresholds` (corners,) are the corners of the curve, from the threshold that accepts nothing
    (infinity) to the one that accepts all; between two of them different pairs alone are accepted, or nothing. They are
    empty where either kind of pairs is missing, and `auc` and `eer` are None.
    """

    same_scores: np.ndarray  # (same,) rising
    different_scores: np.ndarray  # (different,) rising

    @property
    def same(self) -> int:
        return len(self.same_scores)

    @property
    def different(self) -> int:
        return len(self.different_scores)

    @property
    def far(self) -> np.ndarray:
        """False accept rate of each corner, rising from 0 to 1."""
        return self._corners[0]

    @property
    def tar(self) -> np.ndarray:
        """True accept rate of each corner, rising from 0 to 1."""
        return self._corners[1]

    @property
    def thresholds(self) -> np.ndarray:
        """The threshold of each corner, falling; each but the first is the score of some pair."""
        return self._corners[2]

    @cached_property
    def _corners(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self.same or not self.different:
            return (np.empty(0),) * 3
        # The curve turns where a same pair is accepted: a corner there, and one at the end of the run before it, in
        # which different pairs alone were.
        levels = np.unique(self.same_scores)[::-1]
        same_at = self.same - np.searchsorted(self.same_scores, levels)
        different_at = self.different - np.searchsorted(self.different_scores, levels)
        above = np.searchsorted(self.different_scores, levels, side="right")
        before = self.different_scores[np.minimum(above, self.different - 1)]

        false = np.stack([self.different - above, different_at], axis=1).ravel()
        true = np.stack([np.append(0, same_at[:-1]), same_at], axis=1).ravel()
        thresholds = np.stack([before, levels], axis=1).ravel().astype(np.float64)
        lowest = min(self.different_scores[0], self.same_scores[0])
        false, true = np.r_[0, false, self.different], np.r_[0, true, self.same]
        thresholds = np.r_[np.inf, thresholds, lowest]
        turns = np.r_[True, (np.diff(false) > 0) | (np.diff(true) > 0)]
        return false[turns] / self.different, true[turns] / self.same, thresholds[turns]

    @cached_property
    def auc(self) -> float | None:
        """Area under the curve: how often a same pair scores above a different one, ties counting half."""
        if not self.same or not self.different:
            return None
        below = np.searchsorted(self.different_scores, self.same_scores).sum()
        below_or_equal = np.searchsorted(self.different_scores, self.same_scores, side="right").sum()
        return (int(below) + int(below_or_equal)) / (2 * self.same * self.different)

    @cached_property
    def eer(self) -> float | None:
        """Equal error rate: the FAR where it is 1 - TAR, on the straight lines between corners."""
        if not self.same or not self.different:
            return None
        far, balance = self.far, self.far - (1 - self.tar)
        after = int(np.searchsorted(balance, 0.0))  # at least 1, as the balance is -1 at first
        share = -balance[after - 1] / (balance[after] - balance[after - 1])
        return float(far[after - 1] + share * (far[after] - far[after - 1]))

    def tar_at(self, far: float) -> float | None:
        """TAR at the lowest threshold whose FAR is at most `far`.

        None where there is no same pair, or fewer different ones than `pairs_needed(far)`.
        """
        if not self.same or self.different < pairs_needed(far):
            return None
        return self._tar(far)

    def threshold_at(self, far: float) -> float | None:
        """The lowest score that, as a threshold, has a FAR of at most `far`; None as for `tar_at`.

        Infinity where no score has.
        """
        if not self.same or self.different < pairs_needed(far):
            return None
        limit = self._highest_refused(far)
        return min(_lowest_above(limit, self.same_scores), _lowest_above(limit, self.different_scores))

    def sampled(self, points: int) -> tuple[np.ndarray, np.ndarray]:
        """FAR and TAR, (<= points,) each, for a plot: all corners, or TAR at FAR 0 and at FARs even on a log scale."""
        if len(self.far) <= points:
            return self.far, self.tar
        far = np.r_[0.0, np.geomspace(1 / self.different, 1.0, points - 1)]
        far[-1] = 1.0
        return far, np.array([self._tar(each) for each in far])

    def histogram(self, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many same and different pairs score in [edges[i], edges[i + 1]), (bins,) each.

        Scores beyond the outer edges count in the outer bins.
        """
        same, different = (
            np.diff(np.r_[0, np.searchsorted(scores, edges[1:-1].astype(scores.dtype)), len(scores)])
            for scores in (self.same_scores, self.different_scores)
        )
        return same, different

    def _tar(self, far: float) -> float:
        above = np.searchsorted(self.same_scores, self._highest_refused(far), side="right")
        return (self.same - int(above)) / self.same

    def _highest_refused(self, far: float) -> np.floating:
        """The highest score of a different pair that must not be accepted for a FAR of at most `far`.

        Of the scores' own type, as a search for another would copy them all.
        """
        allowed = math.floor(far * self.different)
        while (allowed + 1) / self.different <= far:  # the product was rounded
            allowed += 1
        while allowed / self.different > far:
            allowed -= 1
        refused = self.different_scores[: self.different - allowed]
        return refused[-1] if refused.size else self.different_scores.dtype.type(-math.inf)


def roc(scores: np.ndarray, same: np.ndarray) -> Roc:
    """The curve of pairs' scores (pairs,), higher for more alike, and of which of them are same pairs, (pairs,) bool.

    Raises ValueError where the shapes disagree or a score is NaN or infinite.
    """
    scores, same = np.asarray(scores), np.asarray(same, dtype=bool)
    if scores.ndim != 1 or scores.shape != same.shape:
        raise ValueError(f"scores {scores.shape} for {same.shape} pairs")
    kinds = scores[same], scores[~same]
    for kind in kinds:
        kind.sort()  # infinities come first and last, NaN after them
        if not np.isfinite(kind[[0, -1]] if kind.size else 0).all():
            raise ValueError("a score is NaN or infinite")
    return Roc(*kinds)


def pairs_needed(far: float) -> int:
    """How many different pairs it takes to measure a false accept rate of `far`: those of which one is accepted."""
    return math.ceil(round(1 / far, 6))


def _lowest_above(limit: np.floating, scores: np.ndarray) -> float:
    above = scores[np.searchsorted(scores, limit, side="right") :]
    return float(above[0]) if above.size else math.inf
