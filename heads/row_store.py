"""Where the class centres of a rank live while only a sample of them trains: in host memory, or in files.

Both kinds hold this rank's rows of the weight and of its momentum, take out the rows of a sample, and put back what a
step made of them. heads/device_rows.py does the same in the memory of a card.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np

from heads.class_parallel import INIT_BLOCK, initial_centres
from heads.half import from_bfloat16, from_float16, to_bfloat16, to_float16, to_float32
from heads.sparse_momentum import SparseMomentum
from utils.errors import UserError

_BLOCK_BYTES = 1 << 19  # of rows worked on at a time, so that they stay in the cache
_STATE = "state.json"
_EPS = 1e-12  # as nn.functional.normalize
DTYPES = {"float32": (np.float32, np.float32), "float16": (np.float16, np.uint16)}  # weight, momentum (bfloat16 bits)


class HostRows:
    """Rows [start, stop) of the class centres, (stop - start, E), and their momentum.

    dtype: "float32", or "float16": weights in float16 and momentum in bfloat16, both rounded stochastically, with all
    arithmetic in float32. Until `load` or the first use the rows are not there; then they are `initial_centres`.
    """

    def __init__(self, start: int, stop: int, embedding_size: int, rule: SparseMomentum, dtype: str, seed: int) -> None:
        self.start, self.stop, self.embedding_size, self.dtype = start, stop, embedding_size, dtype
        self._rule, self._seed = rule, seed
        self._block = max(1, _BLOCK_BYTES // (4 * embedding_size))
        self._arrays: dict[str, np.ndarray] = {}

    def _allocate(self) -> dict[str, np.ndarray]:
        shape = (self.stop - self.start, self.embedding_size)
        weight, momentum = DTYPES[self.dtype]
        arrays = {"weight": np.empty(shape, weight), "momentum": np.zeros(shape, momentum)}
        if self._rule.correct_skipped:
            arrays["last_step"] = np.full(shape[0], -1, np.int32)
        return arrays

    def arrays(self) -> dict[str, np.ndarray]:
        """weight, momentum and, with correct_skipped, last_step (rows,): the store itself, not a copy."""
        if not self._arrays:
            self._arrays = self._allocate()
            weight = self._arrays["weight"]
            for first in range(self.start, self.stop, INIT_BLOCK):
                last = min(first + INIT_BLOCK, self.stop)
                weight[first - self.start : last - self.start] = initial_centres(
                    first, last, self.embedding_size, self._seed
                )
        return self._arrays

    def load(self, name: str, rows: np.ndarray) -> None:
        """Takes over all rows of an array, of either dtype."""
        if not self._arrays:
            self._arrays = self._allocate()
        held = self._arrays[name]
        if rows.dtype == held.dtype:
            self._arrays[name] = rows  # not copied: there may be no room for two
            return
        for first in range(0, len(held), self._block):
            block = slice(first, first + self._block)
            values = to_float32(rows[block])
            if held.dtype == np.uint16:
                held[block] = to_bfloat16(values, np.full(values.shape, 1 << 31, np.uint32))  # to the nearest
            else:
                held[block] = values

    def take(self, rows: np.ndarray, out: np.ndarray, step: int, lr: float) -> None:
        """Writes the normalised centres of a sample into out, (len(rows), E) float32."""
        for first in range(0, len(rows), self._block):
            block = slice(first, first + self._block)
            w, _ = self._read(rows[block], step, lr)
            np.divide(w, _norms(w), out=out[block])

    def update(self, rows: np.ndarray, slopes: np.ndarray, directions: np.ndarray, step: int, lr: float) -> None:
        """Takes a step with the gradient ``slopes.T @ directions`` of the normalised centres, (len(rows), E).

        slopes: (B, len(rows)), directions: (B, E), float32. The gradient is made block by block and never held whole.
        """
        arrays = self.arrays()
        noise = np.random.SFC64(np.random.SeedSequence([self._seed, step, self.start]))
        for first in range(0, len(rows), self._block):
            block = slice(first, first + self._block)
            w, v = self._read(rows[block], step, lr)
            norms = _norms(w)
            # of the centre w / |w| by w, for a gradient G of the centre: (G - centre (centre . G)) / |w|
            gradient = (slopes[:, block] / norms[:, 0]).T @ directions
            gradient -= w * (np.einsum("ij,ij->i", gradient, w)[:, None] / norms**2)
            w, v = self._rule.update(w, v, gradient, lr)
            if self.dtype == "float16":
                bits = noise.random_raw(w.size // 2 + 1).view(np.uint32)[: w.size].reshape(w.shape)
                w, v = to_float16(w, bits), to_bfloat16(v, bits)
            arrays["weight"][rows[block]], arrays["momentum"][rows[block]] = w, v
        if self._rule.correct_skipped:
            arrays["last_step"][rows] = step

    def _read(self, rows: np.ndarray, step: int, lr: float) -> tuple[np.ndarray, np.ndarray]:
        """Copies of weight and momentum in float32, having caught up with the steps before `step`."""
        arrays = self.arrays()
        w, v = arrays["weight"][rows], arrays["momentum"][rows]
        if self.dtype == "float16":
            w, v = from_float16(w), from_bfloat16(v)
        if self._rule.correct_skipped:
            m = self._rule.catch_up(step - 1 - arrays["last_step"][rows], lr)[..., None]
            w, v = m[:, 0, 0] * w + m[:, 0, 1] * v, m[:, 1, 0] * w + m[:, 1, 1] * v
        return w, v

    def flush(self, step: int) -> None:
        """Makes what is held last beyond this process, where that is possible."""


def _norms(w: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.einsum("ij,ij->i", w, w)), _EPS)[:, None]


class MappedRows(HostRows):
    """`HostRows` in files that all ranks share, for heads larger than memory.

    `folder` holds one NumPy file per array, with the rows of all classes, so that any number of ranks finds its own
    there; state.json says after which step they were last flushed. Rows change in place, and a killed process leaves
    those of its last steps behind: after `kill -9` the centres are some steps ahead of the checkpoint they go on with
    (by less than save_interval), each row whole.
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
        self._flushed: int | None = None  # the step, as long as no row has changed since

    def create(self) -> None:
        """Makes the files; by one rank, before any uses them. Those of a run before are set aside. Raises OSError."""
        if self.folder.exists():
            aside = self.folder.with_name(self.folder.name + ".previous")
            shutil.rmtree(aside, ignore_errors=True)
            self.folder.rename(aside)
        self.folder.mkdir(parents=True)
        for name, (dtype, shape) in self._kinds().items():
            made = np.lib.format.open_memmap(self.folder / f"{name}.npy", "w+", dtype, shape)
            # A disk that is full is an error here, and not the end of the process at some later write.
            with open(self.folder / f"{name}.npy", "rb+") as file:
                os.posix_fallocate(file.fileno(), 0, made.offset + made.nbytes)
            if name == "last_step":
                made[:] = -1
            made.flush()
        self._write_state({"step": 0, "trained_on": False})

    def _kinds(self) -> dict[str, tuple[type, tuple[int, ...]]]:
        """Type and shape of every file's array."""
        weight, momentum = DTYPES[self.dtype]
        shape = (self._num_classes, self.embedding_size)
        kinds = {"weight": (weight, shape), "momentum": (momentum, shape)}
        return kinds | ({"last_step": (np.int32, shape[:1])} if self._rule.correct_skipped else {})

    def _allocate(self) -> dict[str, np.ndarray]:
        found = {}
        for name, (dtype, shape) in self._kinds().items():
            path = self.folder / f"{name}.npy"
            try:
                whole = np.load(path, "r+")
            except (OSError, ValueError) as error:
                raise UserError(f"the class centres in {path} cannot be used: {error}") from None
            if (whole.dtype, whole.shape) != (dtype, shape):
                held = f"{whole.shape} {whole.dtype}, not {shape} {np.dtype(dtype)}"
                raise UserError(f"{path} holds {held}; resume with the head_dtype and embedding_size it was made with")
            found[name] = whole[self.start : self.stop]
        return found

    def load(self, name: str, rows: np.ndarray) -> None:
        if not self._arrays:
            self._arrays = self._allocate()
        held = self._arrays[name]
        super().load(name, rows)
        if self._arrays[name] is rows:
            held[:], self._arrays[name] = rows, held

    def open(self, step: int) -> str | None:
        """Goes on with the rows as they are in the files; says so where they are not those of `step`.

        Raises UserError where the files are missing, or of other classes, sizes or types.
        """
        self._arrays = self._allocate()
        state = json.loads((self.folder / _STATE).read_text())
        if state["step"] == step and not state["trained_on"]:
            return None
        since = f"step {state['step']}" + (" and some steps more" if state["trained_on"] else "")
        return (
            f"The class centres in {self.folder} are those of {since}, not of step {step}; training goes on with them"
        )

    def update(self, rows: np.ndarray, slopes: np.ndarray, directions: np.ndarray, step: int, lr: float) -> None:
        if self._flushed is not None:
            self._write_state({"step": self._flushed, "trained_on": True})
            self._flushed = None
        super().update(rows, slopes, directions, step, lr)

    def flush(self, step: int) -> None:
        """Raises OSError."""
        for array in self.arrays().values():
            array.flush()
        self._write_state({"step": step, "trained_on": False})
        self._flushed = step

    def _write_state(self, state: dict) -> None:
        partial = self.folder / f"{_STATE}.{self.start}"  # each rank writes the same
        partial.write_text(json.dumps(state))
        os.replace(partial, self.folder / _STATE)
