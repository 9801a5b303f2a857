"""The class centers of a rank in the memory of its device; see heads/row_store.py."""

from collections.abc import Callable, Iterator

import numpy as np
import oneflow as flow

from heads.device_rounding import round_randomly
from heads.half import from_bfloat16, to_bfloat16
from heads.row_store import DTYPES
from heads.shards import INIT_BLOCK, initial_centers
from heads.sparse_momentum import SparseMomentum

BLOCK_BYTES = 1 << 25  # of rows worked on at a time: large enough to fill a card, and little beside the store
_EPS = 1e-12


class DeviceRows:
    """`HostRows` as local tensors of OneFlow on `device`: rows are selected, trained and scattered there.

    dtype: "float32", or "float16": weights in float16 and momentum in bfloat16, both rounded stochastically, with all
    arithmetic in float32. Rows are never read back (with correct_skipped their last steps are), and a step takes time
    by the sample and memory by a block of it.
    """

    on_host = False  # tensors of the device go in and out

    def __init__(
        self, start: int, stop: int, embedding_size: int, rule: SparseMomentum, device: str, seed: int,
        dtype: str = "float32",
    ) -> None:  # fmt: skip
        self.start, self.stop, self.embedding_size, self.device = start, stop, embedding_size, device
        self.dtype = dtype
        self._rule, self._seed = rule, seed
        self._block = max(1, BLOCK_BYTES // (4 * embedding_size))
        self._tensors: dict[str, flow.Tensor] = {}
        self._noise: flow.Tensor | None = None  # (block, E)

    def tensors(self) -> dict[str, flow.Tensor]:
        """weight and momentum (rows, E), and with correct_skipped last_step (rows,)."""
        if not self._tensors:
            self._tensors = self._allocate()
            for first in range(self.start, self.stop, INIT_BLOCK):
                last = min(first + INIT_BLOCK, self.stop)
                rows = initial_centers(first, last, self.embedding_size, self._seed)
                self._write("weight", slice(first - self.start, last - self.start), rows)
        return self._tensors

    def _allocate(self) -> dict[str, flow.Tensor]:
        wide = self.dtype == "float32"
        shape = (self.stop - self.start, self.embedding_size)
        kinds = {"weight": flow.float32 if wide else flow.float16, "momentum": flow.float32 if wide else flow.bfloat16}
        tensors = {name: flow.zeros(shape, dtype=dtype, device=self.device) for name, dtype in kinds.items()}
        if self._rule.correct_skipped:
            tensors["last_step"] = flow.full(shape[:1], -1, dtype=flow.int32, device=self.device)
        return tensors

    def kinds(self, rows: int) -> dict[str, tuple[type, tuple[int, ...]]]:
        """As `HostRows.kinds`: of the arrays on the host, as checkpoints hold them."""
        weight, momentum = DTYPES[self.dtype]
        shape = (rows, self.embedding_size)
        kinds = {"weight": (weight, shape), "momentum": (momentum, shape)}
        return kinds | ({"last_step": (np.int32, shape[:1])} if self._rule.correct_skipped else {})

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies on the host, of the types of `kinds`."""
        arrays = {}
        for name, (dtype, shape) in self.kinds(self.stop - self.start).items():
            tensor = self.tensors()[name]
            if dtype is not np.uint16:
                arrays[name] = tensor.numpy()
                continue
            arrays[name] = np.empty(shape, dtype)  # NumPy has no bfloat16
            for _, block in self._blocks(slice(0, shape[0])):
                wide = tensor[block].to(flow.float32).numpy()
                arrays[name][block] = to_bfloat16(wide, np.zeros(wide.shape, np.uint32))
        return arrays

    def load(self, name: str, rows: np.ndarray) -> None:
        """Takes over all rows of an array, of either dtype."""
        if not self._tensors:
            self._tensors = self._allocate()
        for _, block in self._blocks(slice(0, len(rows))):
            part = rows[block]
            self._write(name, block, from_bfloat16(part) if part.dtype == np.uint16 else part)

    def _write(self, name: str, rows: slice, values: np.ndarray) -> None:
        tensor = self._tensors[name]
        tensor[rows] = flow.tensor(values).to(tensor.dtype).to(self.device)

    def take(self, rows: np.ndarray | slice, out: flow.Tensor, step: int, lr: float) -> None:
        """Writes the normalized centers of a sample into out, (count, E), on the device."""
        for slots, index in self._blocks(rows):
            w, _ = self._read(index, step, lr)
            out[slots] = (w / _norms(w)).to(out.dtype)

    def update(
        self,
        rows: np.ndarray | slice,
        gradient_of: Callable[[slice], flow.Tensor],
        step: int,
        lr: float,
        centers: flow.Tensor | None = None,
    ) -> None:
        """As `HostRows.update`; gradient_of: slots -> (n, E) float32 on the device."""
        tensors = self.tensors()
        for slots, index in self._blocks(rows):
            w, v = self._read(index, step, lr)
            inverse = 1.0 / _norms(w)
            gradient = gradient_of(slots)
            radial = (gradient * w).sum(dim=1, keepdim=True) * -(inverse**3)
            w, v = self._rule.update(w, v, gradient * inverse, lr, radial)
            if self.dtype == "float16":
                shifts = np.random.default_rng([self._seed, step, self.start, slots.start]).random(2)
                w = round_randomly(w, flow.float16, self._shifted_noise(len(w), shifts[0]))
                v = round_randomly(v, flow.bfloat16, self._shifted_noise(len(v), shifts[1]))
            tensors["weight"][index], tensors["momentum"][index] = w, v
            if centers is not None:
                w = w.to(flow.float32)
                centers[slots] = (w / _norms(w)).to(centers.dtype)
            if self._rule.correct_skipped:
                tensors["last_step"][index] = flow.full((len(w),), step, dtype=flow.int32, device=self.device)

    def _shifted_noise(self, rows: int, shift: float) -> flow.Tensor:
        """(rows, E) uniform in [0, 1): one table, drawn once, and all of it moved by `shift`.

        Seeding a generator of OneFlow for each step would wait for the whole device.
        """
        if self._noise is None:
            origin = np.random.default_rng([self._seed, self.start])
            self._noise = flow.from_numpy(origin.random((self._block, self.embedding_size), np.float32)).to(self.device)
        noise = self._noise[:rows] + float(shift)
        return noise - flow.floor(noise)

    def _blocks(self, rows: np.ndarray | slice) -> Iterator[tuple[slice, flow.Tensor | slice]]:
        """As `HostRows._blocks`."""
        count = rows.stop if isinstance(rows, slice) else len(rows)
        for first in range(0, count, self._block):
            slots = slice(first, min(first + self._block, count))
            yield slots, slots if isinstance(rows, slice) else flow.tensor(rows[slots]).to(self.device)

    def _read(self, index: flow.Tensor | slice, step: int, lr: float) -> tuple[flow.Tensor, flow.Tensor]:
        """Weight and momentum in float32, having caught up with the steps before `step`; of a slice maybe no copies."""
        tensors = self.tensors()
        w, v = (tensors[name][index].to(flow.float32) for name in ("weight", "momentum"))
        if self._rule.correct_skipped:
            last = tensors["last_step"][index].numpy()
            m = flow.tensor(self._rule.catch_up(step - 1 - last, lr)).to(self.device)
            w, v = m[:, 0, :1] * w + m[:, 0, 1:] * v, m[:, 1, :1] * w + m[:, 1, 1:] * v
        return w, v


def _norms(w: flow.Tensor) -> flow.Tensor:
    return w.norm(dim=1, keepdim=True).clamp(min=_EPS)
