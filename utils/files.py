"""Files that outlive a power cut, and digests of what is in them."""

import ctypes
import glob
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import UserError


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """The same for all files and folders below, however many: for the whole file system. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(handle):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, where they are missing; then their names are on the disk. Raises OSError."""
    try:
        path.stat()  # a link that leads to itself is an error of its own
    except (FileNotFoundError, NotADirectoryError):
        path = Path(os.path.realpath(path))  # where a link leads
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def refuse_unwritable(folder: Path, said: str) -> None:
    """Raises UserError if no file can be made in `folder`, there or still to be made; said: what the user asked for."""
    folder = folder.absolute()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(f"{said} cannot be written: {there} is no folder that takes files")


def publish(unfinished: Path, path: Path) -> None:
    """Gives a file that is written its name, on the disk too: after a power cut there is the new one or the one before.

    Raises OSError.
    """
    sync(unfinished)
    unfinished.replace(path)
    sync(path.parent)


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


def show_name(path: Path) -> str:
    """The last part of a path as text that any file can hold: bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path.name).decode(errors="replace")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to: at the end the file becomes `path`, or goes if the body raises an error.

    The name is one of its own each time, as threads may write the same file. What processes that were killed have left
    behind goes too. Raises OSError.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        pid = left.suffix.removeprefix(".")
        if pid.isdecimal() and not Path("/proc", pid).exists():
            left.unlink(missing_ok=True)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.{os.getpid()}")
    try:
        yield unfinished
        publish(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """A reader sees all of the file or none. Raises UserError where it cannot be written."""
    try:
        make_folder(path.parent)
        with new_file(path) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
