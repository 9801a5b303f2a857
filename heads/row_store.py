"""Where the class centers of a rank live while only a sample of them trains: in host memory.

A store holds this rank's rows of the weight and of its momentum, gives out the rows of a sample, and takes a step with
their gradient. heads/mapped_rows.py does the same in files, heads/device_rows.py in the memory of a card.
"""

from collections.abc import Callable, Iterator

import numpy as np

from heads.half import from_bfloat16, from_float16, to_bfloat16, to_float16, to_float32
from heads.shards import INIT_BLOCK, initial_centers
from heads.sparse_momentum import SparseMomentum
from utils.cpu import numpy_blas

_BLOCK_BYTES = 1 << 19  # of rows worked on at a time, so that they stay in the cache
_EPS = 1e-12  # as nn.functional.normalize
DTYPES = {"float32": (np.float32, np.float32), "float16": (np.float16, np.uint16)}  # weight, momentum (bfloat16 bits)


class HostRows:
    """Rows [start, stop) of the class centers, (stop - start, E), and their momentum.

    dtype: "float32", or "float16": weights in float16 and momentum in bfloat16, both rounded stochastically, with all
    arithmetic in float32. Until `load` or the first use the rows are not there; then they are `initial_centers`.
    """

    on_host = True  # arrays of NumPy go in and out

    def __init__(self, start: int, stop: int, embedding_size: int, rule: SparseMomentum, dtype: str, seed: int) -> None:
        self.start, self.stop, self.embedding_size, self.dtype = start, stop, embedding_size, dtype
        self._rule, self._seed = rule, seed
        self._block = max(1, _BLOCK_BYTES // (4 * embedding_size))
        self._arrays: dict[str, np.ndarray] = {}

    def kinds(self, rows: int) -> dict[str, tuple[type, tuple[int, ...]]]:
        """Type and shape of each of the arrays, with that many rows."""
        weight, momentum = DTYPES[self.dtype]
        kinds = {"weight": (weight, (rows, self.embedding_size)), "momentum": (momentum, (rows, self.embedding_size))}
        return kinds | ({"last_step": (np.int32, (rows,))} if self._rule.correct_skipped else {})

    def _allocate(self) -> dict[str, np.ndarray]:
        # zeros take no memory until they are written
        arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in self.kinds(self.stop - self.start).items()}
        if "last_step" in arrays:
            arrays["last_step"][:] = -1
        return arrays

    def arrays(self) -> dict[str, np.ndarray]:
        """weight, momentum and, with correct_skipped, last_step (rows,): the store itself, not a copy."""
        if not self._arrays:
            self._arrays = self._allocate()
            weight = self._arrays["weight"]
            for first in range(self.start, self.stop, INIT_BLOCK):
                last = min(first + INIT_BLOCK, self.stop)
                weight[first - self.start : last - self.start] = initial_centers(
                    first, last, self.embedding_size, self._seed
                )
        return self._arrays

    def load(self, name: str, rows: np.ndarray) -> None:
        """Takes over all rows of an array, of either dtype."""
        if not self._arrays:
            self._arrays = self._allocate()
        held = self._arrays[name]
        if rows.dtype == held.dtype:
            self._take_over(name, rows)
            return
        for first in range(0, len(held), self._block):
            block = slice(first, first + self._block)
            values = to_float32(rows[block])
            if held.dtype == np.uint16:
                held[block] = to_bfloat16(values, np.full(values.shape, 1 << 31, np.uint32))  # to the nearest
            else:
                held[block] = values

    def _take_over(self, name: str, rows: np.ndarray) -> None:
        # An array in memory is not copied: there may be no room for two.
        self._arrays[name] = np.array(rows) if isinstance(rows, np.memmap) else rows

    def take(self, rows: np.ndarray | slice, out: np.ndarray, step: int, lr: float) -> None:
        """Writes the normalized centers of a sample into out, (count, E) float32."""
        for slots, index in self._blocks(rows):
            w, _ = self._read(index, step, lr)
            np.divide(w, _norms(w), out=out[slots])

    def update(
        self,
        rows: np.ndarray | slice,
        gradient_of: Callable[[slice], np.ndarray],
        step: int,
        lr: float,
        centers: np.ndarray | None = None,
    ) -> None:
        """Takes a step. gradient_of: slots of the sample -> the gradient of their normalized centers, (n, E) float32.

        It is asked for block by block, so that it need never be held whole. centers: (count, E), overwritten by the
        trained rows, normalized, as `take` would give them.
        """
        arrays = self.arrays()
        noise = np.random.SFC64(np.random.SeedSequence([self._seed, step, self.start]))
        with numpy_blas().limit(limits=1):  # a block's product is too small to share; threads would wait, busily
            for slots, index in self._blocks(rows):
                w, v = self._read(index, step, lr)
                inverse = 1 / _norms(w)
                # of the center w / |w| by w, for a gradient G of the center: (G - center (center . G)) / |w|
                gradient = gradient_of(slots)
                radial = np.einsum("ij,ij->i", gradient, w)[:, None] * -(inverse**3)
                w, v = self._rule.update(w, v, gradient * inverse, lr, radial)
                if self.dtype == "float16":
                    bits = noise.random_raw(w.size // 2 + 1).view(np.uint32)[: w.size].reshape(w.shape)
                    w, v = to_float16(w, bits), to_bfloat16(v, bits)
                arrays["weight"][index], arrays["momentum"][index] = w, v
                if centers is not None:
                    w = from_float16(w) if self.dtype == "float16" else w
                    np.divide(w, _norms(w), out=centers[slots])
        if self._rule.correct_skipped:
            arrays["last_step"][rows] = step

    def _blocks(self, rows: np.ndarray | slice) -> Iterator[tuple[slice, np.ndarray | slice]]:
        """A sample in blocks: their slots, and their rows (of a slice the slots themselves)."""
        count = rows.stop if isinstance(rows, slice) else len(rows)
        for first in range(0, count, self._block):
            slots = slice(first, min(first + self._block, count))
            yield slots, slots if isinstance(rows, slice) else rows[slots]

    def _read(self, rows: np.ndarray | slice, step: int, lr: float) -> tuple[np.ndarray, np.ndarray]:
        """Weight and momentum in float32, having caught up with the steps before `step`; of a slice maybe no copies."""
        arrays = self.arrays()
        w, v = arrays["weight"][rows], arrays["momentum"][rows]
        if self.dtype == "float16":
            w, v = from_float16(w), from_bfloat16(v)
        if self._rule.correct_skipped:
            m = self._rule.catch_up(step - 1 - arrays["last_step"][rows], lr)[..., None]
            w, v = m[:, 0, 0] * w + m[:, 0, 1] * v, m[:, 1, 0] * w + m[:, 1, 1] * v
        return w, v


def _norms(w: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.einsum("ij,ij->i", w, w)), _EPS)[:, None]
