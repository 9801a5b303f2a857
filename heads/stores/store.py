"""Where the class centers of a rank live and train: what the stores in host memory, files and a card have in common."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from heads.shards import initial_centers
from optim.optimizer import Optimizer
from utils.errors import UserError
from utils.runtime import Runtime

# Of weights, and of the optimizer's slots: with float16 they are bits of bfloat16.
DTYPES: dict[str, tuple[type[np.generic], type[np.generic]]] = {
    "float32": (np.float32, np.float32),
    "float16": (np.float16, np.uint16),
}
Kind = tuple[type[np.generic], tuple[int, ...]]  # of an array: its type and shape


@dataclass(frozen=True)
class RowShape:
    """What a class has: numbers of this shape, whose last axis is a vector.

    normalized: steps see unit vectors, and train what they are made of; else the numbers as they are. parameters: the
    first values of the numbers at a vector's end that are no part of it, and which steps always see as they are.
    """

    shape: tuple[int, ...]
    normalized: bool = True
    parameters: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def vector(self) -> int:
        """The length of a vector."""
        return self.shape[-1] - len(self.parameters)

    def initial(self, start: int, stop: int, seed: int) -> np.ndarray:
        """Classes [start, stop) before any training, (stop - start, *shape) float32."""
        rows = initial_centers(start, stop, self.shape, seed)
        rows[..., self.vector :] = self.parameters
        return rows


class SavedRows(Protocol):
    """Rows that a checkpoint holds, by the names of `RowStore.kinds`."""

    step: int

    @property
    def folder(self) -> Path | None:
        """Of files that a store wrote by itself."""

    def has(self, name: str) -> bool: ...

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of all classes, in the type they were stored in."""


@dataclass(frozen=True)
class Saving:
    """What a checkpoint takes from a store: arrays of this rank's rows; plain values, by which it finds files that the
    store has of its own; and what brings those to the disk, which may raise OSError."""

    arrays: Mapping[str, np.ndarray]
    about: dict | None = None
    flush: Callable[[], None] = field(default=lambda: None)


class Surroundings(NamedTuple):
    """What a store may need to know of where it is: all classes there are, the folder for files, and the ranks."""

    num_classes: int
    folder: Path
    runtime: Runtime


class Share(NamedTuple):
    """Memory: what for, where ("host", "device" or "files"), and how many bytes."""

    part: str
    place: str
    bytes: int


def array_kinds(rows: int, row: RowShape, optimizer: Optimizer, dtype: str, correct_skipped: bool) -> dict[str, Kind]:
    """Type and shape of each array of a store with so many rows, by name."""
    weight, slot = DTYPES[dtype]
    shape = (rows, *row.shape)
    kinds: dict[str, Kind] = {"weight": (weight, shape), **dict.fromkeys(optimizer.slots, (slot, shape))}
    if correct_skipped:
        kinds["last_step"] = np.int32, (rows,)
    return kinds


class RowStore:
    """Rows [start, stop) of the class centers, and what the optimizer keeps for each.

    A store gives out the rows of a sample, and takes a step with their gradient. dtype: "float32", or "float16":
    weights in float16 and the optimizer's slots in bfloat16, both rounded stochastically, with all arithmetic in
    float32. correct_skipped: rows first catch up with the steps they were not in (`Optimizer.catch_up`). Until
    `restore`, `load` or the first use the rows are not there; then they are `initial(start, stop)`, which gives
    (stop - start, *row.shape) float32: `row.initial` if it is None.
    """

    place = "host"  # of its arrays, as in `Share`
    on_host = True  # whether arrays of NumPy go in and out, or tensors of the device
    prefetches = False  # whether rows come from so far that they are worth fetching ahead

    def __init__(
        self,
        start: int,
        stop: int,
        row: RowShape,
        optimizer: Optimizer,
        dtype: str,
        seed: int,
        correct_skipped: bool = False,
        *,
        surroundings: Surroundings,
        initial: Callable[[int, int], np.ndarray] | None = None,
    ) -> None:
        self.start, self.stop, self.row, self.dtype = start, stop, row, dtype
        self._optimizer, self._seed, self._correct_skipped = optimizer, seed, correct_skipped
        self._surroundings = surroundings
        self._initial = initial or (lambda first, last: row.initial(first, last, seed))

    def kinds(self, rows: int) -> dict[str, Kind]:
        """Type and shape of each array, with that many rows: "weight", the optimizer's slots, "last_step"."""
        return array_kinds(rows, self.row, self._optimizer, self.dtype, self._correct_skipped)

    @classmethod
    def besides(cls, optimizer: Optimizer, sample_bytes: int, sampled: bool, on_card: bool) -> list[Share]:
        """What a step holds besides the arrays of the store, for the planner. sample_bytes: of a step's centers in
        float32; sampled: whether they are not all; on_card: whether the step is on a card.
        """
        return []

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it on the host, by the names of `kinds`."""
        raise NotImplementedError

    def load(self, name: str, rows: np.ndarray) -> None:
        """Takes over all rows of an array, of either dtype."""
        raise NotImplementedError

    def take(self, rows: np.ndarray | slice, out: Any, step: int, lr: float) -> None:
        """Writes the centers of a sample into out, (count, *row.shape)."""
        raise NotImplementedError

    def update(
        self, rows: np.ndarray | slice, gradient_of: Callable[[slice], Any], step: int, lr: float, updates: int,
        centers: Any | None = None,
    ) -> None:  # fmt: skip
        """Takes a step. gradient_of: slots of the sample -> the gradient of their centers, (n, *row.shape) float32; it
        is asked for block by block, so that it need never be held whole. updates: how many steps went before since the
        optimizer's slots were zeros. centers: (count, *row.shape), overwritten by the trained rows as `take` would give
        them.
        """
        raise NotImplementedError

    def begin(self) -> None:
        """Starts with initial rows. A collective. May raise UserError."""

    def restore(self, saved: SavedRows) -> str | None:
        """Goes on with the rows of a checkpoint, of any number of ranks; returns what the user should know, or None.

        A collective. May raise UserError.
        """
        self.begin()
        for name in self.kinds(0):
            if name == "weight" or saved.has(name):  # without weights it is no checkpoint
                self.load(name, self._read_saved(saved, name))
            elif name == "last_step":  # a run that corrects from here on: nothing to catch up with
                self.load(name, np.full(self.stop - self.start, saved.step - 1, np.int32))
        return None

    def start_from(self, saved: SavedRows) -> None:
        """Begins with the weights of a checkpoint alone. A collective. May raise UserError."""
        self.begin()
        self.load("weight", self._read_saved(saved, "weight"))

    def _read_saved(self, saved: SavedRows, name: str) -> np.ndarray:
        rows = saved.read(name, self.start, self.stop)
        if name == "last_step" or rows.shape[1:] == self.row.shape:
            return rows
        return _fitted(rows, self.row, self.row.parameters if name == "weight" else [0.0] * len(self.row.parameters))

    def change(self, row: RowShape, optimizer: Optimizer, correct_skipped: bool, step: int) -> bool:
        """Goes on as another phase wants it, after `step` steps; returns whether the optimizer's slots do. A
        collective. May raise UserError.

        Weights stay, of vectors that get longer or shorter what both have; slots if optimizer and shape are the same.
        """
        held = self.arrays()
        same_rows = (row.shape, row.parameters) == (self.row.shape, self.row.parameters)
        same = optimizer.name == self._optimizer.name and same_rows
        weight = held["weight"]
        if not same_rows:
            weight = _fitted(weight[..., : self.row.vector], row, row.parameters)
        self._forget()
        self.row, self._optimizer, self._correct_skipped = row, optimizer, correct_skipped
        self.load("weight", weight)
        for name in optimizer.slots if same else ():
            if name in held:
                self.load(name, held[name])
        if correct_skipped:
            self.load("last_step", np.full(self.stop - self.start, step - 1, np.int32))
        return same

    def _forget(self) -> None:
        """Lets go of all rows."""
        raise NotImplementedError

    def saving(self, step: int) -> Saving:
        """What belongs into a checkpoint after `step` steps."""
        return Saving(self.arrays())

    def make_resident(self) -> None:
        """Touches all memory that it will use in a long run, since fresh zeros take none until they are written."""


def _fitted(held: np.ndarray, row: RowShape, parameters: Iterable[float]) -> np.ndarray:
    """Rows of another shape: the part of vectors that both have, zeros, and these parameters. Raises UserError for
    other numbers of centers.
    """
    shape = row.shape
    if held.shape[1:-1] != shape[:-1]:
        before, wanted = (each[0] if len(each) > 1 else 1 for each in (held.shape[1:], shape))
        raise UserError(
            f"the checkpoint has {before} center(s) of each class, and this run has centers_per_class={wanted}"
        )
    fitted = np.zeros((len(held), *shape), held.dtype)
    common = min(held.shape[-1], row.vector)
    fitted[..., :common] = held[..., :common]
    fitted[..., row.vector :] = parameters
    return fitted


def blocks(rows: np.ndarray | slice, size: int) -> Iterator[tuple[slice, np.ndarray | slice]]:
    """A sample in blocks: their slots, and their rows (of a slice the slots themselves)."""
    count = rows.stop if isinstance(rows, slice) else len(rows)
    for first in range(0, count, size):
        slots = slice(first, min(first + size, count))
        yield slots, slots if isinstance(rows, slice) else rows[slots]
