"""Class centers in files, for heads larger than memory."""

import fcntl
import mmap
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from heads.stores.host import HostRows
from heads.stores.store import RowShape, SavedRows, Saving, Share
from optim.optimizer import Optimizer
from utils.errors import UserError
from utils.reading.array_file import map_array

_STATE, _ASIDE = "state.npy", ".previous"


@dataclass(frozen=True)
class State:
    """Whose files these are, after which step they were last flushed, and whether rows have changed since."""

    identity: int
    step: int
    changed: bool


class MappedRows(HostRows):
    """`HostRows` in files that the ranks of one machine share.

    The folder holds one NumPy file per array, with the rows of all classes, so that any number of ranks finds its own
    there. Rows change in place, and a killed process leaves behind what it wrote: after `kill -9` the centers are some
    steps ahead of the checkpoint they go on with. A row that was being written may then be of two steps.
    """

    place = "files"

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._num_classes, self.folder, self._runtime = self._surroundings
        self.prefetches = True
        self._lock: int | None = None
        self._whole: dict[str, np.memmap] = {}

    @classmethod
    def besides(cls, optimizer: Optimizer, sample_bytes: int, sampled: bool, on_card: bool) -> list[Share]:
        ahead = [Share("sampled rows fetched ahead", "host", sample_bytes)] * (sampled and not on_card)
        return super().besides(optimizer, sample_bytes, sampled, on_card) + ahead

    def begin(self) -> None:
        """Makes the files. Trained centers of a run before are set aside, in place of those set aside before them.

        Raises UserError if the folder holds something else or is in use, or there is no room.
        """
        self._runtime.wait_for_all()  # all have looked before anything is set aside
        self._on_main(self._create)

    def restore(self, saved: SavedRows) -> str | None:
        """Goes on with the files as they are if they are the checkpoint's own; says so if they are of another step.

        Raises UserError if they are missing, or of other classes, sizes or types.
        """
        if saved.folder and saved.folder.resolve() == self.folder.resolve():
            self._on_main(self._claim)
            return self._open(saved.step)
        self._spare(saved)
        return super().restore(saved)

    def start_from(self, saved: SavedRows) -> None:
        self._spare(saved)
        super().start_from(saved)

    def _spare(self, saved: SavedRows) -> None:
        """Refuses to read what `begin` may replace."""
        if saved.folder and saved.folder.name == self.folder.name + _ASIDE:
            raise UserError(
                f"the class centers of the checkpoint are in {saved.folder}; set head_store_path={saved.folder}"
            )

    def _on_main(self, part: Callable[[], None]) -> None:
        """Has the main rank do something with the files. A collective. Raises UserError, on every rank."""
        error = None
        if self._runtime.is_main:
            try:
                part()
            except UserError as caught:
                error = caught
            except OSError as caught:
                reason = f"the class centers cannot be kept in {self.folder}: {caught.strerror}; see head_store_path"
                error = UserError(reason)
        if self._runtime.exchange(np.array([error is not None])).any():
            raise error or UserError(f"the class centers cannot be kept in {self.folder}; see head_store_path")

    def _create(self) -> None:
        before = read_state(self.folder)
        if before is None and self.folder.exists() and any(self.folder.iterdir()):
            raise UserError(f"{self.folder} holds other files than class centers; choose another head_store_path")
        if before:
            self._claim()
        unfinished, aside = (self.folder.with_name(self.folder.name + end) for end in (".partial", _ASIDE))
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            for name in self.kinds(0):
                self._make(unfinished, name)
            _make(unfinished / _STATE, np.int64, (3,))[:] = secrets.randbits(62), 0, False
        except OSError:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        if before and (before.step or before.changed):
            shutil.rmtree(aside, ignore_errors=True)
            self.folder.rename(aside)
        elif self.folder.exists():
            shutil.rmtree(self.folder)
        unfinished.rename(self.folder)
        self._claim()

    def _make(self, folder: Path, name: str, last_step: int = -1) -> None:
        dtype, shape = self.kinds(self._num_classes)[name]
        made = _make(folder / f"{name}.npy", dtype, shape)
        if name == "last_step":
            made[:] = last_step

    def _claim(self) -> None:
        """Keeps other runs off the files while this process lives. Raises UserError."""
        if self._lock is not None:
            os.close(self._lock)
        self._lock = os.open(self.folder / "in_use", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another run is training the class centers in {self.folder}") from None

    def change(self, row: RowShape, optimizer: Optimizer, correct_skipped: bool, step: int) -> bool:
        """As `RowStore.change`, but rows keep their shape. Raises UserError."""
        if (row.shape, row.parameters) != (self.row.shape, self.row.parameters):
            raise UserError(
                f"class centers of shape {self.row.shape} in files cannot become those of another phase, of shape "
                f'{row.shape}; use head_store="host"'
            )
        self.arrays()
        before, same = set(self.kinds(0)), optimizer.name == self._optimizer.name
        self._arrays, self._whole = {}, {}
        self.row, self._optimizer, self._correct_skipped = row, optimizer, correct_skipped

        def remake() -> None:
            for name in before | set(self.kinds(0)):
                if name == "weight" or (same and name in optimizer.slots and name in before):
                    continue
                (self.folder / f"{name}.npy").unlink(missing_ok=True)
                if name in self.kinds(0):
                    self._make(self.folder, name, step - 1)

        self._runtime.wait_for_all()
        self._on_main(remake)
        self._arrays = self._allocate()
        return same

    def _allocate(self) -> dict[str, np.ndarray]:
        arrays: dict[str, np.ndarray] = {}
        for name, (dtype, shape) in self.kinds(self._num_classes).items():
            path = self.folder / f"{name}.npy"
            if name == "last_step" and not path.exists():
                raise UserError(f"the centers in {self.folder} were trained with correct_skipped=False; go on with it")
            try:
                whole = _map(path, "holds no class centers that can be used")
            except FileNotFoundError:
                raise UserError(f"the class centers in {path} cannot be used: the file is gone") from None
            if (whole.dtype, whole.shape) != (dtype, shape):
                held = f"{whole.shape} {whole.dtype}, not {shape} {np.dtype(dtype)}"
                raise UserError(f"{path} holds {held}; resume with the head_dtype and embedding_size it was made with")
            self._whole[name] = whole
            arrays[name] = whole[self.start : self.stop]
        self._state = _map(self.folder / _STATE, "is damaged")
        return arrays

    def _take_over(self, name: str, rows: np.ndarray) -> None:
        self._arrays[name][:] = rows

    def _open(self, step: int) -> str | None:
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
        mapping = whole.base
        assert isinstance(mapping, mmap.mmap), "only part of a file is here"
        mapping.madvise(mmap.MADV_RANDOM)
        row_bytes = whole.nbytes // len(whole)
        begin = whole.offset + (np.sort(rows) + self.start) * row_bytes
        first, last = begin // mmap.PAGESIZE, (begin + row_bytes - 1) // mmap.PAGESIZE
        gaps = np.flatnonzero(first[1:] > last[:-1] + 1) + 1  # between runs of adjoining pages
        starts, ends = first[np.r_[:1, gaps]], last[np.r_[gaps - 1, -1]] + 1
        for page, end in zip(starts.tolist(), ends.tolist(), strict=True):
            mapping.madvise(mmap.MADV_WILLNEED, page * mmap.PAGESIZE, (end - page) * mmap.PAGESIZE)

    def update(self, *args, **kwargs) -> None:
        self.arrays()
        self._state[2] = True
        super().update(*args, **kwargs)

    def saving(self, step: int) -> Saving:
        """The rows stay in their files: `flush` makes them last, as those after `step`."""
        self.arrays()
        about = {"folder": str(self.folder.resolve()), "identity": int(self._state[0])}
        return Saving({}, about, partial(self._flush, step))

    def _flush(self, step: int) -> None:
        self.arrays()
        for whole in self._whole.values():
            whole.flush()
        self._state[1:] = step, False
        self._state.flush()

    def make_resident(self) -> None:
        """Nothing: what is mapped is the disk's."""


def _map(path: Path, fault: str) -> np.memmap:
    """As `map_array`, to write into, and raises UserError for an array of no numbers."""
    array = map_array(path, fault, mode="r+")
    if not isinstance(array, np.memmap):
        raise UserError(f"{path} {fault}: it has no numbers; copy it back, or start again with resume=False")
    return array


def _make(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> np.memmap:
    made = np.lib.format.open_memmap(path, "w+", dtype, shape)
    # A disk that is full is an error here, and not the end of the process at some later write.
    with open(path, "rb+") as file:
        os.posix_fallocate(file.fileno(), 0, made.offset + made.nbytes)
    return made


def read_state(folder: Path) -> State | None:
    """Of the files in a folder; None where there are none."""
    try:
        identity, step, changed = map_array(folder / _STATE, "is damaged").tolist()
    except (OSError, ValueError, TypeError):  # UserError too, which is a ValueError
        return None
    return State(identity, step, bool(changed))


def find(identity: int, folders: Iterable[Path]) -> Path | None:
    """The first of the folders, or what was set aside from it, that holds the files with that identity."""
    for folder in folders:
        for path in (folder, folder.with_name(folder.name + _ASIDE)):
            state = read_state(path)
            if state and state.identity == identity:
                return path
    return None
