"""A terminal without what tells a user nothing. Imports nothing but the standard library.

OneFlow's libraries write to file descriptor 2, at moments that Python does not see. So that descriptor becomes a pipe
to a small process that passes on all lines but those known to mean nothing. It is a process, and not a thread, because
what a library says before it aborts matters most. Python's own stderr stays what it was.
"""

import io
import os
import re
import select
import signal
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from utils.errors import UserWarned

_ALWAYS_NOISE = (
    rb"libibverbs not available",  # OneFlow looks for InfiniBand, and does without
    rb"loaded library: \S*libibverbs",
)
_NO_CARD_NOISE = rb"\] Failed to get cuda runtime version: "  # of every process on a machine without a driver
_DRIVER = Path("/proc/driver/nvidia/version")
_PAUSE = 0.1  # seconds after which a line that has no end yet is passed on
_LAST_WORDS = 1.0  # seconds that the end of a program waits for them
# Signals to end, or to stop after the epoch, that are for the program.
_NOT_ITS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
_filter: tuple[int, int] | None = None  # the process, and the descriptor that was 2


def quiet_terminal(environ: Mapping[str, str]) -> None:
    """From now on warnings of packages are not shown, and of what libraries say only what may matter.

    To be called before there are threads. Somebody who sets GLOG_minloglevel below 2 sees everything.
    """
    if not sys.warnoptions:
        for kind in (UserWarning, DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        warnings.simplefilter("default", UserWarned)
        warnings.showwarning = _show_warning
    if _filter is None and environ.get("GLOG_minloglevel", "2") not in ("0", "1"):
        with suppress(OSError):  # no descriptor 2, or no more processes: then everything is shown
            _start_filter()


def drain() -> None:
    """Waits until what libraries have said is on the terminal, but not long. Afterwards nothing is held back."""
    global _filter
    if _filter is None:
        return
    (process, terminal), _filter = _filter, None
    with suppress(OSError):
        os.dup2(terminal, 2)
        end = time.monotonic() + _LAST_WORDS
        while os.waitpid(process, os.WNOHANG) == (0, 0) and time.monotonic() < end:
            time.sleep(0.005)


def is_noise(line: bytes, has_driver: bool) -> bool:
    patterns = _ALWAYS_NOISE if has_driver else (*_ALWAYS_NOISE, _NO_CARD_NOISE)
    return any(re.search(pattern, line) for pattern in patterns)


def _start_filter() -> None:
    """Raises OSError, with all closed that was opened, if there are no more descriptors or processes."""
    global _filter
    terminal, ours = os.dup(2), []
    try:
        ours += [*os.pipe(), *os.pipe()]
        reading, writing, begun, begin = ours
        if sys.stdout:
            sys.stdout.flush()
        process = os.fork()
        if process == 0:
            _filter_and_exit(reading, terminal, (writing, begin))
        os.close(ours.pop())
        os.read(begun, 1)  # until it has a session of its own
        os.dup2(writing, 2)
    except OSError:
        os.close(terminal)
        raise
    finally:
        for descriptor in ours:
            os.close(descriptor)
    sys.stderr = io.TextIOWrapper(
        os.fdopen(terminal, "wb", 0, closefd=False), errors="backslashreplace", line_buffering=True, write_through=True
    )
    _filter = process, terminal


def _filter_and_exit(reading: int, terminal: int, writers: tuple[int, int]) -> NoReturn:
    """The filter's process. It ends with its last writer and not before: without it a write to descriptor 2 kills."""
    try:
        for number in _NOT_ITS:
            signal.signal(number, signal.SIG_IGN)
        os.setsid()  # neither Ctrl-C nor whoever kills our process group ends it before it has passed on all
        for inherited in (*writers, *({0, 1, 2} - {reading, terminal})):
            with suppress(OSError):
                os.close(inherited)
        _pass_on(reading, terminal, _DRIVER.exists())
    finally:
        os._exit(0)


def _pass_on(reading: int, terminal: int, has_driver: bool) -> None:
    """All that comes until its writers have gone, but for noise; nothing any more once the terminal has gone."""
    rest, readable = b"", True
    while True:
        ready, _, _ = select.select([reading], [], [], _PAUSE if rest else None)
        read = os.read(reading, 1 << 16) if ready else None
        *lines, rest = (rest + (read or b"")).split(b"\n")
        kept = b"".join(line + b"\n" for line in lines if not is_noise(line, has_driver))
        if not read and not is_noise(rest, has_driver):
            kept, rest = kept + rest, b""
        readable = readable and _write_all(terminal, kept)
        if read == b"":
            return


def _write_all(terminal: int, text: bytes) -> bool:
    """Whether the terminal, or what stands for it, still takes what is written."""
    try:
        while text:
            try:
                text = text[os.write(terminal, text) :]
            except BlockingIOError:  # another program has made the terminal non-blocking
                select.select([], [terminal], [])
    except OSError:
        return False
    return True


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)
