"""What a person should look at: classes that seem to be one person, and classes that seem to be two."""

import numpy as np

from preparation.clean.votes import Votes

MOST_PAIRS = 100_000
_BLOCK = 2048  # classes; a product of two blocks takes 16 MiB


def duplicates(votes: Votes, angle: float, most: int = MOST_PAIRS, block: int = _BLOCK) -> tuple[np.ndarray, int]:
    """Pairs of classes with images whose dominant centers are less than `angle` degrees apart, the nearest first.

    Returns:
        Rows (label, other, degrees), (n, 3) float64 with label < other, at most `most`; and how many there are in all.

    The product of all centers is taken by blocks: C^2 E multiplications.
    """
    classes = np.flatnonzero(votes.counts.any(axis=1))
    limit, total, pairs = np.cos(np.radians(angle)), 0, np.empty((0, 3))
    for i in range(0, len(classes), block):
        rows = votes.directions[classes[i : i + block]].astype(np.float32)
        for j in range(i, len(classes), block):
            cosines = rows @ votes.directions[classes[j : j + block]].astype(np.float32).T
            if i == j:
                cosines[np.tril_indices(len(rows))] = -2
            first, second = np.nonzero(cosines > limit)
            total += len(first)
            block_pairs = np.stack([classes[i + first], classes[j + second], degrees(cosines[first, second])], axis=1)
            pairs = np.concatenate([pairs, block_pairs])
            if len(pairs) > most:
                pairs = pairs[np.argsort(pairs[:, 2], kind="stable")[:most]]
    return pairs[np.argsort(pairs[:, 2], kind="stable")], total


def mixed(votes: Votes, angle: float, share: float, images: int = 2) -> np.ndarray:
    """Classes (n,) int64 of which two centers have at least `share` of the votes and `images` each, and are more than
    `angle` degrees apart; those with the most votes for the second center first.
    """
    total = votes.counts.sum(axis=1)
    second = votes.counts[np.arange(len(total)), votes.second]
    two = (votes.dominant != votes.second) & (second >= np.maximum(share * total, images))
    candidates = np.flatnonzero(two & (votes.apart < np.cos(np.radians(angle))))
    return candidates[np.argsort(-second[candidates], kind="stable")]


def degrees(cosines: np.ndarray) -> np.ndarray:
    """Angles of the same shape and type."""
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))
