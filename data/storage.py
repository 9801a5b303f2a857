"""Files that a conversion reads and writes: of this machine, or wherever fsspec reaches (HDFS, S3, ...).

A path is a `pathlib.Path`, or a `upath.UPath` where the user gave a URL. Both have pathlib's methods; here is what
these do not do, or not alike.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeGuard

from utils.errors import UserError
from utils.files import sync

TEMPORARY_SUFFIX = ".tmp"
_AT_ONCE = 256  # ranges asked for together: a store answers each after tens of milliseconds
_READ_AHEAD = 8 << 20  # bytes


def find_path(text: str) -> Path:
    """The path that a user gave: a URL (`s3://bucket/folder`), or a file or folder of this machine.

    Raises:
        UserError: a URL that nothing here can open, or a store that does not answer.
    """
    text = text.removeprefix("file://")
    kind, url, _ = text.partition("://")
    if not url:
        return Path(text)
    shown = re.sub("//[^/@]*@", "//", text)  # without a password
    try:
        from upath import UPath
    except ImportError:
        raise UserError(f"{shown} needs universal-pathlib: ./setup.sh spark installs it.") from None
    address = text.rstrip("/")
    try:
        # Listings go stale as soon as another process writes. Those of SFTP are not kept. The path counts as one of
        # pathlib's for types, since the package, which may not be installed, shares no class with pathlib.
        path: Any = UPath(address) if kind in ("sftp", "ssh") else UPath(address, use_listings_cache=False)
        path.exists()
    except Exception as error:  # whatever the package for this kind of URL raises
        raise UserError(f"{shown} cannot be reached: {_reason(error)}.") from None
    return path


@contextmanager
def store_failures(*paths: Path) -> Iterator[None]:
    """Raises UserError for what the packages of stores raise. Where all `paths` are local, it is a fault of ours."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if all(map(is_local, paths)):
            raise
        raise UserError(f"The store failed: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    """What a store's package says of its failure, in a line."""
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def is_local(path: Path) -> bool:
    """Whether the system itself reads and writes it, with locks, renames and `fsync`."""
    return isinstance(path, Path)


class _StorePath(Protocol):
    """What a `upath.UPath` has that a `pathlib.Path` has not."""

    path: str  # as its file system has it
    fs: Any  # fsspec's file system, which has no types

    def open(self, mode: str, *, block_size: int, cache_type: str) -> BinaryIO: ...


def _is_in_store(path: Path) -> TypeGuard[_StorePath]:
    return not is_local(path)


class RangeReader:
    """Reads ranges of bytes of one file. A context manager. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO
        if _is_in_store(path):
            self._file = path.open("rb", block_size=_READ_AHEAD, cache_type="readahead")
        else:
            self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed in __exit__)

    def __enter__(self) -> RangeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        """As many of the `length` bytes from `offset` on as the file has. Quick where ranges follow each other."""
        if is_local(self._path):
            return os.pread(self._file.fileno(), length, offset)
        self._file.seek(offset)
        return self._file.read(length)

    def read_many(self, offsets: Sequence[int], lengths: Sequence[int]) -> Iterator[bytes]:
        """The same for many ranges anywhere in the file."""
        path = self._path
        if not _is_in_store(path):
            yield from map(self.read, offsets, lengths)
            return
        if not path.fs.async_impl:
            with path.open("rb", block_size=1, cache_type="none") as file:  # reads no more than it is asked for
                for offset, length in zip(offsets, lengths, strict=True):
                    file.seek(offset)
                    yield file.read(length)
            return
        name, ends = path.path, [offset + length for offset, length in zip(offsets, lengths, strict=True)]
        for first in range(0, len(ends), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            starts = list(offsets[some])
            yield from path.fs.cat_ranges([name] * len(starts), starts, ends[some], on_error="raise")


class NewFile:
    """A file that has its name only once it is whole: `commit` gives it. A context manager. Raises OSError.

    It is written beside its place, under a name that no other writer has: of two that write the same file, the last to
    commit replaces the other's.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f"{path.name[:32]}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
        self._file = self._temporary.open("wb")

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()  # may fail once more on a full disk
        finally:
            self._temporary.unlink(missing_ok=True)

    def write(self, content: bytes | memoryview) -> int:
        return self._file.write(content)

    def commit(self) -> None:
        """What has a name is on the disk."""
        self._file.flush()
        if is_local(self._path):
            os.fsync(self._file.fileno())
        self._file.close()
        if is_local(self._path):
            os.replace(self._temporary, self._path)
        else:
            with suppress(OSError):
                self._temporary.rename(self._path)
            if self._temporary.exists():  # a store that does not rename over a file
                with suppress(FileNotFoundError):
                    self._path.unlink()
                self._temporary.rename(self._path)


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file, or none. Raises OSError."""
    with NewFile(path) as file:
        file.write(content)
        file.commit()


def copy_file(source: Path, target: Path) -> None:
    """Copy a whole file, or nothing. Raises OSError."""
    with source.open("rb") as file, NewFile(target) as copy:
        shutil.copyfileobj(file, copy)
        copy.commit()


@contextmanager
def local_file(path: Path) -> Iterator[Path]:
    """The file as one of this machine: itself, or a copy that lasts as long as the context. Raises OSError."""
    if is_local(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="faces-") as folder, path.open("rb") as file:
        copy = Path(folder) / path.name
        with open(copy, "wb") as target:
            shutil.copyfileobj(file, target)
        yield copy


def free_space(folder: Path) -> int | None:
    """Bytes that can still be written there; None where nobody knows."""
    return shutil.disk_usage(folder).free if is_local(folder) else None


def remove_folder(folder: Path) -> None:
    """Remove a folder and all it holds. Raises OSError."""
    if _is_in_store(folder):
        folder.fs.rm(folder.path, recursive=True)
    else:
        shutil.rmtree(folder)


def settle(folder: Path) -> None:
    """Wait until the names in a folder are on the disk. Raises OSError."""
    if is_local(folder):
        sync(folder)
