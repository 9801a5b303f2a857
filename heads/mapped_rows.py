"""The class centers of all ranks in files, for heads larger than memory; see heads/row_store.py."""

import fcntl
import mmap
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heads.row_store import HostRows
from heads.sparse_momentum import SparseMomentum
from utils.errors import UserError

_STATE = "state.npy"


@dataclass(frozen=True)
class State:
    """Whose files these are, after which step they were last flushed, and whether rows have changed since."""

    identity: int
    step: int
    changed: bool


class MappedRows(HostRows):
    """`HostRows` in files that the ranks of one machine share.

    `folder` holds one NumPy file per array, with the rows of all classes, so that any number of ranks finds its own
    there. Rows change in place, and a killed process leaves behind what it wrote: after `kill -9` the centers are some
    steps ahead of the checkpoint they go on with. A row that was being written may then be of two steps.
    """

    def __init__(
        self,
        folder: Path,
        num_classes: int,
        start: int,
        stop: int,
        embedding_size: int,
        rule: SparseMomentum,
        dtype: str,
        seed: int,
    ) -> None:
        super().__init__(start, stop, embedding_size, rule, dtype, seed)
        self.folder, self._num_classes = folder, num_classes
        self._lock: int | None = None
        self._whole: dict[str, np.memmap] = {}

    def create(self) -> None:
        """Makes the files, and claims them; by one rank, before any uses them.

        Trained centers of a run before are set aside, in place of those set aside before them. Raises UserError if
        the folder holds something else or is in use, OSError where there is no room.
        """
        before = read_state(self.folder)
        if before is None and self.folder.exists() and any(self.folder.iterdir()):
            raise UserError(f"{self.folder} holds other files than class centers; choose another head_store_path")
        if before:
            self.claim()
        partial, aside = (self.folder.with_name(self.folder.name + end) for end in (".partial", ".previous"))
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            for name, (dtype, shape) in self.kinds(self._num_classes).items():
                made = _make(partial / f"{name}.npy", dtype, shape)
                if name == "last_step":
                    made[:] = -1
            _make(partial / _STATE, np.int64, (3,))[:] = secrets.randbits(62), 0, False
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if before and (before.step or before.changed):
            shutil.rmtree(aside, ignore_errors=True)
            self.folder.rename(aside)
        elif self.folder.exists():
            shutil.rmtree(self.folder)
        partial.rename(self.folder)
        self.claim()

    def claim(self) -> None:
        """Keeps other runs off the files while this process lives; by one rank. Raises UserError."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = os.open(self.folder / "in_use", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another run is training the class centers in {self.folder}") from None

    def _allocate(self) -> dict[str, np.ndarray]:
        found = {}
        for name, (dtype, shape) in self.kinds(self._num_classes).items():
            path = self.folder / f"{name}.npy"
            if name == "last_step" and not path.exists():
                raise UserError(f"the centers in {self.folder} were trained with correct_skipped=False; go on with it")
            try:
                whole = np.load(path, "r+")
            except (OSError, ValueError) as error:
                raise UserError(f"the class centers in {path} cannot be used: {error}") from None
            if (whole.dtype, whole.shape) != (dtype, shape):
                held = f"{whole.shape} {whole.dtype}, not {shape} {np.dtype(dtype)}"
                raise UserError(f"{path} holds {held}; resume with the head_dtype and embedding_size it was made with")
            self._whole[name] = whole
            found[name] = whole[self.start : self.stop]
        self._state = np.load(self.folder / _STATE, "r+")
        return found

    def _take_over(self, name: str, rows: np.ndarray) -> None:
        self._arrays[name][:] = rows

    def open(self, step: int) -> str | None:
        """Goes on with the rows as they are in the files; says so where they are not those of `step`.

        Raises UserError if the files are missing, or of other classes, sizes or types.
        """
        self._arrays = self._allocate()
        if "last_step" in self._arrays:  # those of later steps have nothing to catch up with
            np.minimum(self._arrays["last_step"], step - 1, out=self._arrays["last_step"])
        _, flushed, changed = self._state.tolist()
        if flushed == step and not changed:
            return None
        since = f"step {flushed}" + (" and some steps more" if changed else "")
        return f"The class centers in {self.folder} are of {since}, not of step {step}; training goes on with them"

    def take(self, rows: np.ndarray | slice, out: np.ndarray, step: int, lr: float) -> None:
        self.arrays()
        if not isinstance(rows, slice):  # a whole shard is read in order, which the kernel itself does ahead
            for name in self._whole:  # the momentum too, which the update needs soon
                self._read_ahead(name, rows)
        super().take(rows, out, step, lr)

    def _read_ahead(self, name: str, rows: np.ndarray) -> None:
        """Has the kernel read the pages of these rows, many at a time; touched one by one, each would be waited for."""
        if not len(rows):
            return
        whole = self._whole[name]
        # Else each fault would read as much as the disk reads ahead, up to megabytes for a row of 2 KB.
        whole._mmap.madvise(mmap.MADV_RANDOM)
        row_bytes = whole.nbytes // len(whole)
        begin = whole.offset + (np.sort(rows) + self.start) * row_bytes
        first, last = begin // mmap.PAGESIZE, (begin + row_bytes - 1) // mmap.PAGESIZE
        gaps = np.flatnonzero(first[1:] > last[:-1] + 1) + 1  # between runs of adjoining pages
        starts, ends = first[np.r_[:1, gaps]], last[np.r_[gaps - 1, -1]] + 1
        for page, end in zip(starts.tolist(), ends.tolist(), strict=True):
            whole._mmap.madvise(mmap.MADV_WILLNEED, page * mmap.PAGESIZE, (end - page) * mmap.PAGESIZE)

    def update(
        self,
        rows: np.ndarray | slice,
        gradient_of: Callable[[slice], np.ndarray],
        step: int,
        lr: float,
        centers: np.ndarray | None = None,
    ) -> None:
        self.arrays()
        self._state[2] = True
        super().update(rows, gradient_of, step, lr, centers)

    def flush(self, step: int) -> dict:
        """Makes the rows last, as those after `step`; returns what `find` needs. Raises OSError."""
        for array in self.arrays().values():
            array.flush()
        self._state[1:] = step, False
        self._state.flush()
        return self.about()

    def about(self) -> dict:
        """Plain values by which a checkpoint finds the files again."""
        self.arrays()
        return {"folder": str(self.folder.resolve()), "identity": int(self._state[0])}


def _make(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    made = np.lib.format.open_memmap(path, "w+", dtype, shape)
    # A disk that is full is an error here, and not the end of the process at some later write.
    with open(path, "rb+") as file:
        os.posix_fallocate(file.fileno(), 0, made.offset + made.nbytes)
    return made


def read_state(folder: Path) -> State | None:
    """Of the files in a folder; None where there are none."""
    try:
        identity, step, changed = np.load(folder / _STATE).tolist()
    except (OSError, ValueError):
        return None
    return State(identity, step, bool(changed))


def find(identity: int, folders: Iterable[Path]) -> Path | None:
    """The first of the folders, or what was set aside from it, that holds the files with that identity."""
    for folder in folders:
        for path in (folder, folder.with_name(folder.name + ".previous")):
            state = read_state(path)
            if state and state.identity == identity:
                return path
    return None
