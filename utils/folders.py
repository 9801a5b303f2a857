"""Folders that are there whole or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.errors import UserError
from utils.files import make_folder, sync, sync_all

_LOCK = ".lock"
_FROM_HERE, _RENAME_EXCHANGE = -100, 2  # AT_FDCWD and a flag of renameat2(2)
_LONGEST = 240  # bytes of a name that gets an ending


@contextmanager
def new_folder(output: Path, sources: Sequence[Path], force: bool, marker: str) -> Iterator[Path]:
    """A folder to fill, beside `output`; it becomes `output` when the body ends without an error, else it is removed.

    What a killed run left behind, `.NAME.unfinished` or `.NAME.replaced`, the next one puts right (a digest stands for
    a NAME too long for that). Where `output` is a link, the folder it leads to is made or replaced.

    Args:
        sources: what is read meanwhile; `output` must be none of them, nor hold one.
        force: replace an `output` that is there, if it has the file `marker`.

    Raises:
        UserError: `output` may not be replaced, cannot be written, or another run is making it.
    """
    output = Path(os.path.realpath(output))
    unfinished, replaced = (output.with_name(f".{_short(output.name)}.{state}") for state in ("unfinished", "replaced"))
    try:
        try:
            make_folder(unfinished)
            lock = _lock(unfinished, output)
        except (KeyboardInterrupt, OSError):
            with suppress(UserError, OSError):  # unless it is another run's
                os.close(_lock(unfinished, output))
                shutil.rmtree(unfinished)
            raise
        try:
            if replaced.exists() and not output.exists():  # killed between the two renames below
                replaced.rename(output)
            refuse_output(output, sources, force, marker)
            for left in unfinished.iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield unfinished
            sync_all(unfinished)
            shutil.rmtree(replaced, ignore_errors=True)
            _put(unfinished, output, replaced)
            sync(output.parent)
            for left in (unfinished, replaced):
                shutil.rmtree(left, ignore_errors=True)
        except BaseException:  # Ctrl-C too leaves nothing half-written
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        finally:
            os.close(lock)
    except OSError as error:
        raise UserError(f"Writing {error.filename or output} failed: {error.strerror or error}.") from None


def _put(new: Path, place: Path, aside: Path) -> None:
    """Gives `new` its place; what stands there is then at one of the other two names. Raises OSError."""
    if not place.exists():
        new.rename(place)
    elif not _exchange(new, place):
        place.rename(aside)
        try:
            new.rename(place)
        except OSError:
            aside.rename(place)
            raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two names in one step, so that each is always there; False if it cannot be done. Raises OSError."""
    names = ctypes.c_int(_FROM_HERE), os.fsencode(one), ctypes.c_int(_FROM_HERE), os.fsencode(other)
    if ctypes.CDLL(None, use_errno=True).renameat2(*names, ctypes.c_uint(_RENAME_EXCHANGE)) == 0:
        return True
    error = ctypes.get_errno()
    if error in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(error, os.strerror(error), str(other))


def _short(name: str) -> str:
    """`name`, or a digest of it where a name of 255 bytes could not hold it and what stands around it."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _LONGEST else hashlib.sha256(encoded).hexdigest()


def _lock(folder: Path, output: Path) -> int:
    """A handle on `folder` that keeps others out until it is closed; workers that inherit it die with this process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(folder)):  # not renamed meanwhile by the one who had the lock
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    raise UserError(f"Another run is writing {output}.")


def hold_folder(folder: Path) -> None:
    """Keeps other runs out of a folder that is there, until this process ends, however it ends.

    A file `.lock` in it says who that is; left behind by a process that has ended it keeps out nobody. On a file system
    without locks nobody is kept out. Raises UserError if another process holds the folder, OSError if it cannot be
    written.
    """
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(handle, 300, 0).decode(errors="replace").strip()
        os.close(handle)
        raise UserError(
            f"{folder} is in use by another run ({holder}); wait for it, stop it, or give another output"
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):
            raise
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def refuse_output(output: Path, sources: Sequence[Path], force: bool, marker: str) -> None:
    """Raises UserError where `new_folder` would write over what is read, or over what nobody said may go."""
    output = Path(os.path.realpath(output))
    if output.is_symlink():  # after all that could be followed
        raise UserError(f"{output} is a link that leads to itself; remove it, or give another --out.")
    for source in sources:
        if Path(os.path.realpath(source)).is_relative_to(output):
            raise UserError(f"{output} cannot be written while {source} is read; give another --out.")
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists() and not force:
        raise UserError(f"{output} exists; --force replaces it, or give another --out.")
    if output.exists() and not (output / marker).exists():
        raise UserError(f"{output} holds files but no {marker}, so it is not replaced; give another --out.")
