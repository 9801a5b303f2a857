"""Running means of the embeddings of each class, split over the ranks, for losses that compare with them."""

import numpy as np

from heads.shards import shard_range
from utils.runtime import Runtime


class ClassMeans:
    """rows: (C / ranks, width) float32 in host memory, those of this rank's classes. rate: how fast they follow."""

    def __init__(self, num_classes: int, runtime: Runtime, rows: np.ndarray, rate: float = 0.0) -> None:
        self.start, self.stop = shard_range(num_classes, runtime.ranks, runtime.rank)
        self.rows, self.rate, self._runtime = rows, rate, runtime

    @classmethod
    def zeros(cls, num_classes: int, width: int, runtime: Runtime, rate: float) -> "ClassMeans":
        """At the beginning; they take no memory until they are written."""
        start, stop = shard_range(num_classes, runtime.ranks, runtime.rank)
        return cls(num_classes, runtime, np.zeros((stop - start, width), np.float32), rate)

    def of(self, classes: np.ndarray) -> np.ndarray:
        """(B,) classes of the global batch -> (B, width), on every rank. A collective, of B width numbers a rank."""
        own = self._own(classes)
        means = np.zeros((len(classes), self.rows.shape[1]), np.float32)
        means[own] = self.rows[classes[own] - self.start]
        return self._runtime.exchange(means).sum(axis=0)  # each row is of one rank, so no digit is lost

    def follow(self, classes: np.ndarray, embeddings: np.ndarray) -> None:
        """Moves the means towards the embeddings, (B, width), of a global batch. Those that are no numbers are left
        out: one would stay in a mean for good.
        """
        own = self._own(classes) & np.isfinite(embeddings).all(axis=1)
        rows, which, counts = np.unique(classes[own] - self.start, return_inverse=True, return_counts=True)
        sums = np.zeros((len(rows), embeddings.shape[1]), np.float32)
        np.add.at(sums, which, embeddings[own] - self.rows[rows][which])
        self.rows[rows] += sums * (self.rate / (1 + counts))[:, None].astype(np.float32)

    def _own(self, classes: np.ndarray) -> np.ndarray:
        return (classes >= self.start) & (classes < self.stop)
