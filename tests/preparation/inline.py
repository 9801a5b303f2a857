"""Tasks of a conversion in the test's own process, where things can happen around them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import nullcontext


class InlineExecutor(Executor):
    """`around(task)` is called in the place of each task, and calls it."""

    def __init__(self, around: Callable[[Callable], object]) -> None:
        self._around = around

    def submit(self, call, /, *arguments):
        future = Future()
        try:
            future.set_result(self._around(lambda: call(*arguments)))
        except Exception as error:
            future.set_exception(error)
        return future

    @classmethod
    def pool(cls, around):
        """For `convert`."""
        return lambda workers: nullcontext(cls(around))
