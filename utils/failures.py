"""Why a program ends, at moments when little of it is there. Imports nothing but the standard library."""

import errno
import os
from contextlib import suppress
from pathlib import Path

# How the loader of shared libraries says that the address space is full.
_FULL = ("failed to map segment", "cannot map zero-fill pages", "cannot create shared object descriptor")
_SHOWN = 200  # characters


def note_failure(sentence: str) -> None:
    """For the launcher, which tells the other nodes."""
    if "FAILURE_NOTE" in os.environ:
        with suppress(OSError):
            Path(os.environ["FAILURE_NOTE"]).write_text(sentence, errors="backslashreplace")


def shortage(error: BaseException) -> str:
    """What to tell a user of an import that failed for lack of memory; empty if it failed for another reason."""
    chain: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and len(chain) < 10:  # NumPy and others raise errors of their own
        chain.append(one)
        one = one.__cause__ or one.__context__
    for cause in reversed(chain):
        lines = str(cause).splitlines()
        said = next((line for line in lines if any(sign in line for sign in _FULL)), "")
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            said = said or "out of memory"
        if said:
            said = said.removeprefix("Original error was: ").rpartition("/")[2][:_SHOWN]
            return f"there is too little memory to load what this needs ({said}); free some, or raise `ulimit -v`"
    return ""
