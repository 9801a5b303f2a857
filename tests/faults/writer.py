"""What is known of a writer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Writer:
    """Something that writes files into a folder, as a user's program does.

    make: what stands there before; write: writes what is new, or goes on with it, and raises UserError if it cannot;
    read: what a reader finds, in words that differ between before and after. covers: the modules that write.
    """

    name: str
    covers: tuple[str, ...]
    make: Callable[[Path], None]
    write: Callable[[Path], None]
    read: Callable[[Path], str]
