"""Worker processes that end with their parent, however it ends."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from utils.errors import UserError
from utils.reading.limits import Limits, limits, use_limits

_PR_SET_PDEATHSIG = 1  # prctl(2)


@contextmanager
def worker_pool(workers: int, start: str = "fork") -> Iterator[Executor]:
    """`workers` processes. When the body raises (Ctrl-C too) they are killed at once, in the middle of their tasks.

    start: "fork"; or "spawn", for tasks that use a library with threads of its own, as ONNX Runtime: if the parent has
    used it too, a forked process may wait for threads that it does not have.

    Tasks and results must stay below a pipe's 64 KiB, or Ctrl-C can hang: large ones go through files.

    Raises:
        UserError: a worker was killed from outside.
    """
    with (
        garbage_kept(),
        ProcessPoolExecutor(
            workers, multiprocessing.get_context(start), initializer=_start_worker, initargs=(os.getpid(), limits())
        ) as pool,
    ):
        try:
            yield pool
        except BaseException as error:
            for process in multiprocessing.active_children():
                process.kill()
            if isinstance(error, BrokenProcessPool):
                raise UserError(
                    "A worker was killed, probably for lack of memory; run the command again with fewer --workers."
                ) from None
            raise


@contextmanager
def garbage_kept() -> Iterator[None]:
    """What is garbage by now is not collected in the body, nor in processes forked there.

    A OneFlow graph waits, when it is freed, for threads that a forked process does not have: it would hang.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _start_worker(parent: int, in_force: Limits) -> None:
    """Leave Ctrl-C to the parent, and die with it even if it is killed: an orphan would go on writing."""
    use_limits(in_force)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before prctl
        os._exit(1)
