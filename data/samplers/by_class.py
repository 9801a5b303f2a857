"""Records by their classes, and how many of an epoch's places each class gets."""

import numpy as np

_BLOCK = 1 << 20  # places looked up together, which bounds the temporaries


class RecordsByClass:
    """The records of each class in a random order.

    labels: (N,) int32. sizes: the images of each class, (C,) int64. Held are 4 bytes a record and 16 a class; 20 bytes
    a record while it is made, `labels` included.
    """

    def __init__(self, labels: np.ndarray, rng: np.random.Generator) -> None:
        self._records = _by_class(labels, rng)
        self.sizes = np.bincount(labels)
        self._starts = np.cumsum(self.sizes) - self.sizes

    def take(self, classes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """The images with those numbers of their classes, from 0 and round again, as records uint32."""
        taken = np.empty(len(classes), np.uint32)
        for start in range(0, len(classes), _BLOCK):
            block = slice(start, start + _BLOCK)
            own = classes[block]
            taken[block] = self._records[self._starts[own] + numbers[block] % self.sizes[own]]
        return taken


def _by_class(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shuffled = rng.permutation(np.arange(len(labels), dtype=np.uint32))
    keys = labels[shuffled].astype(np.int64)  # the class above, the place in `shuffled` below: all different
    keys <<= 32
    keys |= np.arange(len(labels), dtype=np.uint32)
    keys.sort()
    keys &= 0xFFFFFFFF
    return shuffled[keys]


def numbered(counts: np.ndarray) -> np.ndarray:
    """0, 1, ... for each count, one after the other, int32."""
    numbers, used = np.ones(counts.sum(), np.int32), counts[counts > 0]
    numbers[0] = 0
    numbers[np.cumsum(used[:-1])] = 1 - used[:-1]
    return np.cumsum(numbers, out=numbers)


def shares(weights: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """`total` places dealt in proportion to weights: whole numbers (n,) int64 that add up to it, each its exact share
    rounded up or down at random, so that over the epochs each gets its share (systematic sampling).

    weights: (n,), int64 or float64; int64 is exact.
    """
    ends = np.cumsum(weights)
    last = ends[-1]
    ends *= total
    ends += ends.dtype.type(rng.random() * last)
    ends //= last
    ends = ends.astype(np.int64, copy=False)
    np.minimum(ends, total, out=ends)  # float64 may round up
    ends[-1] = total
    return np.diff(ends, prepend=0)


def shares_up_to(sizes: np.ndarray, total: int, most: int, rng: np.random.Generator) -> np.ndarray:
    """As `shares`, none above `most`; what would be goes to the others. At least total / most sizes, int64."""
    full = np.zeros(len(sizes), bool)
    while True:
        left, of = total - most * int(full.sum()), int(sizes[~full].sum())
        over = ~full & (sizes * left > most * of)
        if not over.any():
            break
        full |= over
    dealt = np.full(len(sizes), most)
    if not full.all():
        dealt[~full] = shares(sizes[~full], left, rng)
    return dealt
