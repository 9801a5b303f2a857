"""Files that outlive a power cut, and digests of what is in them."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from utils.errors import UserError


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(pieces: Iterable[bytes]) -> str:
    """SHA-256 of the pieces one after the other, in hexadecimal."""
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return whole.hexdigest()


def refuse_pipe(path: Path) -> None:
    """Raises UserError where a path is a pipe or a device: opening it may wait for ever."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path} is no regular file; put the file itself there.")


def show_size(count: int) -> str:
    """ "1.3 GB", or in smaller units what would be less than one."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def write_whole(path: Path, content: bytes) -> None:
    """A reader sees all of the file or none. Raises UserError where it cannot be written."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(content)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
