"""What a cleaned set holds: images that stay, and their labels after merging and splitting what a person says."""

from dataclasses import dataclass

import numpy as np

from preparation.clean.votes import Votes


@dataclass(frozen=True)
class Cleaned:
    """keep: (N,) bool; labels: (N,) int32, in [0, len(origins)), not dense; origins: (labels,) int64, the class that
    each label was once."""

    keep: np.ndarray
    labels: np.ndarray
    origins: np.ndarray


def clean(labels: np.ndarray, votes: Votes, angle: float, merges: np.ndarray, splits: np.ndarray) -> Cleaned:
    """Keep the images less than `angle` degrees from their class's dominant center.

    Args:
        labels: (N,) int32.
        merges: (n, 2) classes that are one person; chains of them too. All take the smallest label.
        splits: (n,) classes that are two people: images that voted for the second center and are near it become a
            class of their own.
    """
    limit = np.cos(np.radians(angle))
    keep = votes.cosine > limit
    classes = len(votes.counts)
    origins = np.concatenate([np.arange(classes), splits]).astype(np.int64)
    fresh = np.full(classes, -1, np.int32)
    fresh[splits] = classes + np.arange(len(splits), dtype=np.int32)
    moved = (fresh[labels] >= 0) & (votes.nearest == votes.second[labels])
    keep = np.where(moved, votes.nearest_cosine > limit, keep)
    return Cleaned(keep, np.where(moved, fresh[labels], _joined(merges, len(origins))[labels]), origins)


def _joined(merges: np.ndarray, count: int) -> np.ndarray:
    """(count,) int32: for each label the smallest of those it is joined with."""
    parent = list(range(count))

    def root(label: int) -> int:
        while parent[label] != label:
            parent[label] = label = parent[parent[label]]
        return label

    for first, second in merges.tolist():
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    return np.array([root(label) for label in range(count)], np.int32)
