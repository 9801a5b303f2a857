"""Images of a source, decoded ahead of their use."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from evaluation.sources import ImageSource
from utils.prefetch import prefetched

THREADS = 2


def decoded(source: ImageSource, batches: Iterable[tuple[int, int]], threads: int = THREADS) -> Iterator[np.ndarray]:
    """The images of each batch (start, stop) in turn, (stop - start, H, W, 3) uint8 RGB.

    `threads` batches are being decoded while one is in use. Raises what `source.decode` raises.
    """
    with ThreadPoolExecutor(threads, "decode") as pool:
        yield from prefetched(pool, ((source.decode, start, stop) for start, stop in batches), threads)
