"""Ctrl-C at moments when an exception would lead to no clean end. Imports nothing but the standard library."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def end_at_interrupt() -> None:
    """From now on Ctrl-C ends this process at once, with a word and status 130: while packages are imported, which is
    before anything is written, an exception would show where in them it struck. `run_cli` begins with Python's handler.
    """
    if _is_ours():
        signal.signal(signal.SIGINT, _end)


def raise_at_interrupt() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Ctrl-C in the body raises KeyboardInterrupt at its end. For the import of OneFlow: an exception in its midst ends
    as an ImportError or aborts the process, and it leaves a handler of its own, which ends the process without a word.
    """
    if not _is_ours():
        yield
        return
    struck = []
    handler = signal.signal(signal.SIGINT, lambda *_: struck.append(True))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if struck:
        raise KeyboardInterrupt


def _is_ours() -> bool:
    """Not where Ctrl-C is ignored, as behind a shell's &, nor in other threads, which cannot set a handler."""
    in_main = threading.current_thread() is threading.main_thread()
    return in_main and signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _end)


def _end(*_: object) -> None:
    os.write(2, b"stopped\n")
    os._exit(130)
