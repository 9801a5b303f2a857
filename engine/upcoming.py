"""Batches with a look at the next one."""

from collections.abc import Iterable, Iterator

import numpy as np


def with_upcoming(
    batches: Iterable[tuple[np.ndarray, ...]],
) -> Iterator[tuple[tuple[np.ndarray, ...], np.ndarray | None]]:
    """(images, labels, ...) ... -> ((images, labels, ...), the next batch's labels or None) ..."""
    batches = iter(batches)
    current = next(batches, None)
    while current is not None:
        following = next(batches, None)
        yield current, None if following is None else following[1]
        current = following
