"""Which class centers a rank holds, and what they are before any training."""

import numpy as np

_INIT_STD = 0.01
INIT_BLOCK = 1 << 14


def initial_centers(start: int, stop: int, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Rows [start, stop) of the initial class centers, (stop - start, *shape) float32, N(0, 0.01).

    Drawn in blocks by (seed, block), so that a rank draws only its own rows and they do not depend on how many ranks
    there are.
    """
    rows = np.empty((stop - start, *shape), np.float32)
    for block in range(start // INIT_BLOCK, -(-stop // INIT_BLOCK)):
        first = block * INIT_BLOCK
        lo, hi = max(start, first), min(stop, first + INIT_BLOCK)
        drawn = np.random.default_rng([seed, block]).standard_normal((hi - first, *shape), np.float32)
        np.multiply(drawn[lo - first :], _INIT_STD, out=rows[lo - start : hi - start])
    return rows


def shard_range(num_classes: int, ranks: int, rank: int) -> tuple[int, int]:
    """The classes [start, stop) that split(0) gives to a rank: the first C % ranks of them hold one more."""
    share, extra = divmod(num_classes, ranks)
    start = rank * share + min(rank, extra)
    return start, start + share + (rank < extra)
