"""Batches with a look at the next one."""

from collections.abc import Iterable, Iterator

import numpy as np


def with_upcoming(
    batches: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]]:
    """(images, labels, records) ... -> (images, labels, records, the next batch's labels or None) ..."""
    batches = iter(batches)
    current = next(batches, None)
    while current is not None:
        following = next(batches, None)
        yield *current, None if following is None else following[1]
        current = following
