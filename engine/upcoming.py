"""Batches with a look at the next one."""

from collections.abc import Iterable, Iterator

import numpy as np

from data.batch import Batch


def with_upcoming(
    batches: Iterable[Batch],
) -> Iterator[tuple[Batch, np.ndarray | None]]:
    """Each batch with the labels of the next one, or None after the last."""
    batches = iter(batches)
    current = next(batches, None)
    while current is not None:
        following = next(batches, None)
        yield current, None if following is None else following.labels
        current = following
