"""Images of a source, decoded ahead of their use."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from evaluation.sources import ImageSource

THREADS = 2


def decoded(source: ImageSource, batches: Iterable[tuple[int, int]], threads: int = THREADS) -> Iterator[np.ndarray]:
    """The images of each batch (start, stop) in turn, (stop - start, 112, 112, 3) uint8 RGB.

    `threads` batches are being decoded while one is in use. Raises what `source.decode` raises.
    """
    ahead: deque = deque()
    with ThreadPoolExecutor(threads, "decode") as pool:
        try:
            for start, stop in batches:
                ahead.append(pool.submit(source.decode, start, stop))
                if len(ahead) > threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
