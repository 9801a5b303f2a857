"""Work done ahead of its use."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from typing import Any


def prefetched(pool: Executor, calls: Iterable[tuple], ahead: int) -> Iterator[Any]:
    """The results of `calls`, (function, *arguments) each, in their order; `ahead` are under way while one is in use.

    Raises what a call raises. Calls that have not begun when the iterator is closed never do.
    """
    waiting: deque = deque()
    try:
        for call in calls:
            waiting.append(pool.submit(*call))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
