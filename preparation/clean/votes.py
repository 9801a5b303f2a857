"""Which images of a class lie near its dominant center (Deng et al., Sub-center ArcFace, ECCV 2020).

Each image votes for the nearest of its class's centers. The one with the most votes is dominant; images far from it
most likely show somebody else. Classes are worked on by the block, so that neither centers nor embeddings need to fit
into memory: about 40 bytes an image stay there, and 1 KiB a class for 512 numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from evaluation.templates import drop_pages
from utils.errors import UserError

_BLOCK_BYTES = 1 << 28  # of centers at a time
_AT_ONCE = 4096  # images


class Centers(Protocol):
    per_class: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Of classes [start, stop): (stop - start, per_class, E), of any length."""


class Members:
    """The images of a set by class.

    embeddings: (N, views, E), of which [:, 0] are without flip, maybe memory-mapped; labels: (N,) int32 in
    [0, num_classes).
    """

    def __init__(self, embeddings: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
        self.embeddings, self.labels, self.num_classes = embeddings, labels, num_classes
        self.order = np.argsort(labels, kind="stable")
        self.starts = np.zeros(num_classes + 1, np.int64)
        np.cumsum(np.bincount(labels, minlength=num_classes), out=self.starts[1:])

    @property
    def size(self) -> int:
        return self.embeddings.shape[-1]

    def pieces(self, start: int, stop: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The images of classes [start, stop), class by class: their numbers (n,), and unit embeddings (n, E) float32.

        Raises UserError where an embedding has no direction.
        """
        first, last = self.starts[[start, stop]].tolist()
        for at in range(first, last, _AT_ONCE):
            records = self.order[at : min(at + _AT_ONCE, last)]
            rows = self.embeddings[records, 0].astype(np.float32)
            drop_pages(self.embeddings)
            norms = np.linalg.norm(rows, axis=1)
            bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
            if bad.size:
                raise UserError(f"the embedding of image {records[bad[0]]} is zero, NaN or infinite; embed again")
            yield records, rows / norms[:, None]


class MeanCenters:
    """One center a class: the mean of its unit embeddings."""

    per_class = 1

    def __init__(self, members: Members) -> None:
        self._members = members

    def read(self, start: int, stop: int) -> np.ndarray:
        sums = np.zeros((stop - start, 1, self._members.size), np.float32)
        for records, rows in self._members.pieces(start, stop):
            labels, first = np.unique(self._members.labels[records], return_index=True)
            sums[labels - start, 0] += np.add.reduceat(rows, first)
        return sums


@dataclass(frozen=True)
class Votes:
    """What the images of a set say of its C classes of K centers.

    Attributes:
        nearest: (N,) uint16, the center that an image voted for.
        nearest_cosine, cosine: (N,) float32, to that one and to the dominant one.
        counts: (C, K) int32, votes.
        dominant, second: (C,) uint16, the centers with the most votes, the first of equals.
        apart: (C,) float32, the cosine between these two; 1 where K is 1.
        directions: (C, E) float16, unit vectors, the dominant centers.
    """

    nearest: np.ndarray
    nearest_cosine: np.ndarray
    cosine: np.ndarray
    counts: np.ndarray
    dominant: np.ndarray
    second: np.ndarray
    apart: np.ndarray
    directions: np.ndarray


def vote(members: Members, centers: Centers, block_bytes: int = _BLOCK_BYTES) -> Votes:
    """Let every image vote. Raises UserError where an embedding has no direction."""
    images, classes, per_class = len(members.labels), members.num_classes, centers.per_class
    votes = Votes(
        np.empty(images, np.uint16),
        np.empty(images, np.float32),
        np.empty(images, np.float32),
        np.zeros((classes, per_class), np.int32),
        np.empty(classes, np.uint16),
        np.empty(classes, np.uint16),
        np.empty(classes, np.float32),
        np.empty((classes, members.size), np.float16),
    )
    step = max(1, block_bytes // (per_class * members.size * 4))
    for start in range(0, classes, step):
        _vote_block(members, _unit(centers.read(start, min(start + step, classes))), start, votes)
    return votes


def _vote_block(members: Members, centers: np.ndarray, start: int, votes: Votes) -> None:
    """Fills in the classes of `centers` (n, K, E), unit vectors, of which the first is `start`."""
    stop, per_class = start + len(centers), centers.shape[1]
    first, last = members.starts[[start, stop]].tolist()
    cosines = np.empty((last - first, per_class), np.float32)
    at = 0
    for records, rows in members.pieces(start, stop):
        own = centers[members.labels[records] - start]
        np.einsum("ne,nke->nk", rows, own, out=cosines[at : at + len(rows)])
        at += len(rows)
    records = members.order[first:last]
    labels = members.labels[records] - start
    nearest = cosines.argmax(axis=1)
    flat = np.bincount(labels.astype(np.int64) * per_class + nearest, minlength=(stop - start) * per_class)
    counts = votes.counts[start:stop] = flat.reshape(-1, per_class)
    ranked = np.argsort(-counts, axis=1, kind="stable")
    dominant, second = ranked[:, 0], ranked[:, min(1, per_class - 1)]
    votes.dominant[start:stop], votes.second[start:stop] = dominant, second
    votes.nearest[records] = nearest
    places, classes = np.arange(len(records)), np.arange(len(centers))
    votes.nearest_cosine[records] = cosines[places, nearest]
    votes.cosine[records] = cosines[places, dominant[labels]]
    votes.directions[start:stop] = centers[classes, dominant]
    votes.apart[start:stop] = np.einsum("ne,ne->n", centers[classes, dominant], centers[classes, second])


def _unit(rows: np.ndarray) -> np.ndarray:
    """Unit vectors, float32; a class without images may have a mean of zero, which stays."""
    rows = rows.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
