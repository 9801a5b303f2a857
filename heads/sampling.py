"""Which class centers take part in a step: Partial FC (An et al., "Partial FC: Training 10 Million Identities on a
Single Machine", ICCV Workshops 2021, and "Killing Two Birds with One Stone", CVPR 2022).

The classes of a global batch are its positives; all of them take part. The rest of the sample are other classes,
drawn uniformly without replacement, by every rank from the classes it holds.
"""

from dataclasses import dataclass

import numpy as np

from heads.shards import shard_range


@dataclass(frozen=True)
class Sample:
    """rows: (count,) int64, the drawn rows of this rank's shard: its positives in order, then negatives in order; a
    slice if they are all there are.

    labels: (B,) int64, the global batch's labels as slots of the sample of all ranks, rank after rank.
    """

    rows: np.ndarray | slice
    labels: np.ndarray


class ClassSampler:
    """Draws the classes of a step; the same for the same (seed, step) and ranks, whatever was drawn before.

    sample_rate: share of a rank's classes, (0, 1]. global_batch: the most positives there can be; where they could
    outnumber the share, the sample is as large as they. counts: how many classes each rank contributes, which never
    changes, because the step is compiled for it. takes_all: whether each step sees all classes, on all ranks or none.
    """

    def __init__(self, num_classes: int, ranks: int, rank: int, sample_rate: float, global_batch: int, seed: int):
        self._shards = [shard_range(num_classes, ranks, r) for r in range(ranks)]
        self._rank, self._seed = rank, seed
        held = [stop - start for start, stop in self._shards]
        wanted = max(-(-num_classes // ranks) * sample_rate, min(global_batch, num_classes))
        # All rows, or the same number on each rank, as split(0) lays them out. Shards differ by one row at most, and a
        # sample of all but one on some ranks would have only those prefetch.
        self.takes_all = round(wanted) >= min(held)
        self.counts = held if self.takes_all else [round(wanted)] * ranks
        self._slots = np.concatenate([[0], np.cumsum(self.counts)])

    @property
    def count(self) -> int:
        """How many classes this rank contributes."""
        return self.counts[self._rank]

    @property
    def first_slot(self) -> int:
        return int(self._slots[self._rank])

    def draw(self, step: int, labels: np.ndarray) -> Sample:
        """The sample of a step; labels: (B,) int64, those of the global batch, the same on every rank."""
        classes, which = np.unique(labels, return_inverse=True)
        starts = np.array([start for start, _ in self._shards] + [self._shards[-1][1]])
        first = np.searchsorted(classes, starts)  # classes[first[r] : first[r + 1]] are held by rank r
        slots = np.empty(len(classes), np.int64)
        for rank, (start, stop) in enumerate(self._shards):
            own = slice(first[rank], first[rank + 1])
            if self.counts[rank] == stop - start:
                slots[own] = self._slots[rank] + classes[own] - start  # every row is there, in order
            else:
                slots[own] = self._slots[rank] + np.arange(own.stop - own.start)
        start, stop = self._shards[self._rank]
        if self.takes_all:
            return Sample(slice(0, stop - start), slots[which])
        positives = classes[first[self._rank] : first[self._rank + 1]] - start
        rng = np.random.default_rng([self._seed, step, self._rank])
        # Numbered without the positives, the others are 0 ... n - 1: shift each past the positives before it.
        others = draw_without_replacement(rng, stop - start - len(positives), self.count - len(positives))
        others += np.searchsorted(positives - np.arange(len(positives)), others, side="right")
        return Sample(np.concatenate([positives, others]), slots[which])


def draw_without_replacement(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    """`count` different numbers of 0 ... n - 1, in order; every such set is as likely as any other. int64.

    Takes time and memory by `count` and not by n: draws with repetition until enough different numbers are there,
    then leaves out a random part of them. Where more than half is wanted, the rest is drawn that way.
    """
    if count > n // 2:
        kept = np.ones(n, bool)
        kept[_draw_few(rng, n, n - count)] = False
        return np.flatnonzero(kept)
    return _draw_few(rng, n, count)


def _draw_few(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    drawn = np.empty(0, np.int64)
    while len(drawn) < count:
        missing = count - len(drawn)
        # The numbers that are new among k draws: about k (1 - len / n), less those that meet each other.
        tries = int(missing * n / max(n - count, 1) * 1.05) + 16
        drawn = np.unique(np.concatenate([drawn, rng.integers(0, n, tries)]))
    surplus = rng.choice(len(drawn), len(drawn) - count, replace=False)
    return np.delete(drawn, surplus)
