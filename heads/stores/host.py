"""Class centers in host memory."""

from collections.abc import Callable

import numpy as np

from heads.shards import INIT_BLOCK
from heads.stores.half import from_bfloat16, from_float16, to_bfloat16, to_float16, to_float32
from heads.stores.store import RowStore, Share, blocks
from native.centers import CenterLoops
from optim.optimizer import Optimizer
from utils.cpu import numpy_blas
from utils.errors import UserError

_BLOCK_BYTES = 1 << 19  # of rows worked on at a time, so that they stay in the cache
_EPS = 1e-12  # as nn.functional.normalize


class HostRows(RowStore):
    """`RowStore` in arrays of NumPy."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.prefetches = self._surroundings.runtime.device == "cuda"  # where rows have to travel
        self._block = max(1, _BLOCK_BYTES // (4 * self.row.size))
        self._arrays: dict[str, np.ndarray] = {}

    def _loops(self) -> CenterLoops | None:
        """Those of `native/`, if it has them for this store; NumPy can do everything."""
        if self.dtype != "float32" or self._correct_skipped or not self._surroundings.runtime.native:
            return None
        *vectors, width = self.row.shape
        return CenterLoops(int(np.prod(vectors)), width, self.row.vector if self.row.normalized else 0)

    @classmethod
    def besides(cls, optimizer: Optimizer, sample_bytes: int, sampled: bool, on_card: bool) -> list[Share]:
        """Rows and their gradient travel whole to a card and back, and those of the next step are fetched ahead."""
        if not on_card:
            return []
        travel = [Share("centers that travel", place, 2 * sample_bytes) for place in ("host", "device")]
        return travel + [Share("sampled rows fetched ahead", "host", sample_bytes)] * sampled

    def _allocate(self) -> dict[str, np.ndarray]:
        # zeros take no memory until they are written
        arrays: dict[str, np.ndarray] = {
            name: np.zeros(shape, dtype) for name, (dtype, shape) in self.kinds(self.stop - self.start).items()
        }
        if "last_step" in arrays:
            arrays["last_step"][:] = -1
        return arrays

    def arrays(self) -> dict[str, np.ndarray]:
        """The store itself, not copies."""
        if not self._arrays:
            self._arrays = self._allocate()
            weight = self._arrays["weight"]
            for first in range(self.start, self.stop, INIT_BLOCK):
                last = min(first + INIT_BLOCK, self.stop)
                weight[first - self.start : last - self.start] = self._initial(first, last)
        return self._arrays

    def load(self, name: str, rows: np.ndarray) -> None:
        if not self._arrays:
            self._arrays = self._allocate()
        held = self._arrays[name]
        if rows.shape != held.shape:
            raise UserError(f"{name} of the class centers has the shape {rows.shape}, and {held.shape} is needed")
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

    def _forget(self) -> None:
        self._arrays = {}

    def _take_over(self, name: str, rows: np.ndarray) -> None:
        # An array in memory is not copied: there may be no room for two.
        self._arrays[name] = np.array(rows, order="C") if isinstance(rows, np.memmap) else np.ascontiguousarray(rows)

    def take(self, rows: np.ndarray | slice, out: np.ndarray, step: int, lr: float) -> None:
        if loops := self._loops():
            loops.take(self.arrays()["weight"], rows, out)
            return
        for slots, index in blocks(rows, self._block):
            self._write_centers(self._read(index, step, lr)[0], out[slots])

    def _write_centers(self, w: np.ndarray, out: np.ndarray) -> None:
        if not self.row.normalized:
            np.copyto(out, w)
            return
        vectors = ..., slice(self.row.vector)
        np.divide(w[vectors], _norms(w[vectors]), out=out[vectors])
        out[..., self.row.vector :] = w[..., self.row.vector :]

    def update(
        self, rows: np.ndarray | slice, gradient_of: Callable[[slice], np.ndarray], step: int, lr: float, updates: int,
        centers: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        arrays, loops, sgd = self.arrays(), self._loops(), self._optimizer.sgd_settings(lr)
        noise = np.random.SFC64(np.random.SeedSequence([self._seed, step, self.start]))
        with numpy_blas().limit(limits=1):  # a block's product is too small to share; threads would wait, busily
            for slots, index in blocks(rows, self._block):
                if loops and sgd:
                    out = None if centers is None else centers[slots]
                    loops.train(sgd, arrays["weight"], arrays.get("momentum"), index, gradient_of(slots), out)
                    continue
                w, *kept = self._read(index, step, lr)
                gradient = self._by_weights(gradient_of(slots), w)
                w, kept = self._optimizer.update(w, tuple(kept), gradient, lr, updates)
                if self.dtype == "float16":
                    bits = noise.random_raw(w.size // 2 + 1).view(np.uint32)[: w.size].reshape(w.shape)
                    w, kept = to_float16(w, bits), [to_bfloat16(slot, bits) for slot in kept]
                arrays["weight"][index] = w
                for name, slot in zip(self._optimizer.slots, kept, strict=True):
                    arrays[name][index] = slot
                if centers is not None:
                    self._write_centers(from_float16(w) if self.dtype == "float16" else w, centers[slots])
        if self._correct_skipped:
            arrays["last_step"][rows] = step

    def _by_weights(self, gradient: np.ndarray, w: np.ndarray) -> np.ndarray:
        """A gradient by what steps see -> by w."""
        if not self.row.normalized:
            return gradient
        vectors, parameters = (..., slice(self.row.vector)), gradient[..., self.row.vector :]
        through = _through_norm(gradient[vectors], w[vectors])
        return np.concatenate([through, parameters], axis=-1) if self.row.parameters else through

    def _read(self, rows: np.ndarray | slice, step: int, lr: float) -> list[np.ndarray]:
        """Weight and slots in float32, having caught up with the steps before `step`; of a slice maybe no copies."""
        arrays = self.arrays()
        values = [arrays[name][rows] for name in ("weight", *self._optimizer.slots)]
        if self.dtype == "float16":
            values = [from_float16(values[0]), *map(from_bfloat16, values[1:])]
        if self._correct_skipped:
            w, v = values
            m = self._optimizer.catch_up(step - 1 - arrays["last_step"][rows], lr)
            assert m is not None, "an optimizer that cannot catch up corrects nothing"
            m = m.reshape(*m.shape, *[1] * len(self.row.shape))
            values = [m[:, 0, 0] * w + m[:, 0, 1] * v, m[:, 1, 0] * w + m[:, 1, 1] * v]
        return values

    def make_resident(self) -> None:
        for name in self._optimizer.slots:
            self.arrays()[name].fill(0)


def _through_norm(gradient: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The gradient by w of what has `gradient` by the center c = w / |w|: (gradient - c (c . gradient)) / |w|."""
    inverse = 1 / _norms(w)
    radial = np.einsum("...i,...i->...", gradient, w)[..., None] * inverse**3
    gradient = gradient * inverse
    gradient -= w * radial
    return gradient


def _norms(w: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.einsum("...i,...i->...", w, w)), _EPS)[..., None]
