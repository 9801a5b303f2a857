"""Class centers in the memory of a device."""

from collections.abc import Callable, Iterator

import numpy as np
import oneflow as flow

from heads.shards import INIT_BLOCK
from heads.stores.device_rounding import round_randomly
from heads.stores.half import from_bfloat16, to_bfloat16
from heads.stores.store import RowStore, Share, blocks
from optim.optimizer import Optimizer

_BLOCK_BYTES = 1 << 25  # of rows worked on at a time: large enough to fill a card, and little beside the store
_EPS = 1e-12


class DeviceRows(RowStore):
    """`RowStore` as local tensors of OneFlow on the runtime's device: rows are selected, trained and scattered there.

    Rows are never read back (with correct_skipped their last steps are), and a step takes time by the sample and
    memory by a block of it.
    """

    place, on_host = "device", False

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.device = self._surroundings.runtime.device
        self._block = max(1, _BLOCK_BYTES // (4 * self.row.size))
        self._tensors: dict[str, flow.Tensor] = {}
        self._noise: flow.Tensor | None = None  # (block, *row.shape)

    @classmethod
    def besides(cls, optimizer: Optimizer, sample_bytes: int, sampled: bool, on_card: bool) -> list[Share]:
        """`update` works on blocks of weight, slots and gradient, and of what takes their place."""
        held = (4 + 3 * (1 + len(optimizer.slots))) * min(_BLOCK_BYTES, sample_bytes)
        return [Share("blocks of centers in training", "device", held)]

    def tensors(self) -> dict[str, flow.Tensor]:
        """The store itself, by the names of `kinds`; slots of float16 weights in bfloat16."""
        if not self._tensors:
            self._tensors = self._allocate()
            for first in range(self.start, self.stop, INIT_BLOCK):
                last = min(first + INIT_BLOCK, self.stop)
                self._write("weight", slice(first - self.start, last - self.start), self._initial(first, last))
        return self._tensors

    def _allocate(self) -> dict[str, flow.Tensor]:
        types: dict[type[np.generic], flow.dtype] = {
            np.float32: flow.float32,
            np.float16: flow.float16,
            np.uint16: flow.bfloat16,
            np.int32: flow.int32,
        }
        tensors = {
            name: flow.zeros(shape, dtype=types[dtype], device=self.device)
            for name, (dtype, shape) in self.kinds(self.stop - self.start).items()
        }
        if "last_step" in tensors:
            tensors["last_step"] -= 1
        return tensors

    def arrays(self) -> dict[str, np.ndarray]:
        """Copies on the host."""
        arrays = {}
        for name, (dtype, shape) in self.kinds(self.stop - self.start).items():
            tensor = self.tensors()[name]
            if dtype is not np.uint16:
                arrays[name] = tensor.numpy()
                continue
            arrays[name] = np.empty(shape, dtype)  # NumPy has no bfloat16
            for block, _ in blocks(slice(0, shape[0]), self._block):
                wide = tensor[block].to(flow.float32).numpy()
                arrays[name][block] = to_bfloat16(wide, np.zeros(wide.shape, np.uint32))
        return arrays

    def load(self, name: str, rows: np.ndarray) -> None:
        if not self._tensors:
            self._tensors = self._allocate()
        for block, _ in blocks(slice(0, len(rows)), self._block):
            part = rows[block]
            self._write(name, block, from_bfloat16(part) if part.dtype == np.uint16 else part)

    def _forget(self) -> None:
        self._tensors, self._noise = {}, None

    def _write(self, name: str, rows: slice, values: np.ndarray) -> None:
        tensor = self._tensors[name]
        tensor[rows] = flow.tensor(values).to(tensor.dtype).to(self.device)

    def take(self, rows: np.ndarray | slice, out: flow.Tensor, step: int, lr: float) -> None:
        for slots, index in self._blocks(rows):
            out[slots] = self._centers(self._read(index, step, lr)[0]).to(out.dtype)

    def _centers(self, w: flow.Tensor) -> flow.Tensor:
        if not self.row.normalized:
            return w
        vectors = w[..., : self.row.vector]
        return self._beside(vectors / _norms(vectors), w)

    def _by_weights(self, gradient: flow.Tensor, w: flow.Tensor) -> flow.Tensor:
        """A gradient by what steps see -> by w."""
        if not self.row.normalized:
            return gradient
        through = _through_norm(gradient[..., : self.row.vector], w[..., : self.row.vector])
        return self._beside(through, gradient)

    def _beside(self, vectors: flow.Tensor, rows: flow.Tensor) -> flow.Tensor:
        """Vectors with the parameters of rows."""
        return flow.cat([vectors, rows[..., self.row.vector :]], dim=-1) if self.row.parameters else vectors

    def update(
        self, rows: np.ndarray | slice, gradient_of: Callable[[slice], flow.Tensor], step: int, lr: float, updates: int,
        centers: flow.Tensor | None = None,
    ) -> None:  # fmt: skip
        tensors = self.tensors()
        for slots, index in self._blocks(rows):
            w, *kept = self._read(index, step, lr)
            gradient = self._by_weights(gradient_of(slots), w)
            w, kept = self._optimizer.update(w, tuple(kept), gradient, lr, updates)
            if self.dtype == "float16":
                shifts = np.random.default_rng([self._seed, step, self.start, slots.start]).random(1 + len(kept))
                w = round_randomly(w, flow.float16, self._shifted_noise(len(w), shifts[0]))
                kept = [
                    round_randomly(slot, flow.bfloat16, self._shifted_noise(len(slot), shift))
                    for slot, shift in zip(kept, shifts[1:], strict=True)
                ]
            tensors["weight"][index] = w
            for name, slot in zip(self._optimizer.slots, kept, strict=True):
                tensors[name][index] = slot
            if centers is not None:
                centers[slots] = self._centers(w.to(flow.float32)).to(centers.dtype)
            if self._correct_skipped:
                tensors["last_step"][index] = flow.full((len(w),), step, dtype=flow.int32, device=self.device)

    def _shifted_noise(self, rows: int, shift: float) -> flow.Tensor:
        """(rows, *row.shape) uniform in [0, 1): one table, drawn once, and all of it moved by `shift`.

        Seeding a generator of OneFlow for each step would wait for the whole device.
        """
        if self._noise is None:
            origin = np.random.default_rng([self._seed, self.start])
            self._noise = flow.from_numpy(origin.random((self._block, *self.row.shape), np.float32)).to(self.device)
        noise = self._noise[:rows] + float(shift)
        return noise - flow.floor(noise)

    def _blocks(self, rows: np.ndarray | slice) -> Iterator[tuple[slice, flow.Tensor | slice]]:
        """`blocks` with rows on the device."""
        for slots, index in blocks(rows, self._block):
            yield slots, index if isinstance(rows, slice) else flow.tensor(index).to(self.device)

    def _read(self, index: flow.Tensor | slice, step: int, lr: float) -> list[flow.Tensor]:
        """Weight and slots in float32, having caught up with the steps before `step`; of a slice maybe no copies."""
        tensors = self.tensors()
        values = [tensors[name][index].to(flow.float32) for name in ("weight", *self._optimizer.slots)]
        if self._correct_skipped:
            w, v = values
            last = tensors["last_step"][index].numpy()
            m = self._optimizer.catch_up(step - 1 - last, lr)
            assert m is not None, "an optimizer that cannot catch up corrects nothing"
            m = flow.tensor(m.reshape(*m.shape, *[1] * len(self.row.shape))).to(self.device)
            values = [m[:, 0, 0] * w + m[:, 0, 1] * v, m[:, 1, 0] * w + m[:, 1, 1] * v]
        return values


def _through_norm(gradient: flow.Tensor, w: flow.Tensor) -> flow.Tensor:
    """As that of heads/stores/host.py."""
    inverse = 1.0 / _norms(w)
    radial = (gradient * w).sum(dim=-1, keepdim=True) * (inverse**3)
    return gradient * inverse - w * radial


def _norms(w: flow.Tensor) -> flow.Tensor:
    return w.norm(dim=-1, keepdim=True).clamp(min=_EPS)
