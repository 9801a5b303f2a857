"""The class centres of a rank in the memory of its device; see heads/row_store.py."""

import numpy as np
import oneflow as flow

from heads.class_parallel import initial_centres
from heads.half import to_float32
from heads.sparse_momentum import SparseMomentum


class DeviceRows:
    """`HostRows` as local tensors of OneFlow on `device`, float32: rows are selected, trained and scattered there.

    Rows are never read back (with correct_skipped their last steps are). index_select and indexed assignment take time
    by the sample, in place.
    """

    def __init__(
        self, start: int, stop: int, embedding_size: int, rule: SparseMomentum, device: str, seed: int
    ) -> None:
        self.start, self.stop, self.embedding_size, self.device = start, stop, embedding_size, device
        self._rule, self._seed = rule, seed
        self._tensors: dict[str, flow.Tensor] = {}

    def tensors(self) -> dict[str, flow.Tensor]:
        """weight and momentum (rows, E), and with correct_skipped last_step (rows,)."""
        if not self._tensors:
            self._allocate(initial_centres(self.start, self.stop, self.embedding_size, self._seed))
        return self._tensors

    def _allocate(self, weight: np.ndarray) -> None:
        self._tensors = {}  # the device may have no room for two
        self._tensors["weight"] = flow.from_numpy(weight).to(self.device)
        self._tensors["momentum"] = flow.zeros_like(self._tensors["weight"])
        if self._rule.correct_skipped:
            self._tensors["last_step"] = flow.full((len(weight),), -1, dtype=flow.int32, device=self.device)

    def kinds(self, rows: int) -> dict[str, tuple[type, tuple[int, ...]]]:
        """As `HostRows.kinds`."""
        shape = (rows, self.embedding_size)
        kinds = {"weight": (np.float32, shape), "momentum": (np.float32, shape)}
        return kinds | ({"last_step": (np.int32, shape[:1])} if self._rule.correct_skipped else {})

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in self.tensors().items()}

    def load(self, name: str, rows: np.ndarray) -> None:
        rows = rows if name == "last_step" else to_float32(rows)
        if name == "weight":
            self._allocate(np.array(rows))
        else:
            self.tensors()[name].copy_(flow.from_numpy(np.array(rows)))

    def take(self, rows: np.ndarray, out: flow.Tensor, step: int, lr: float) -> None:
        """Copies the normalised centres of a sample into out, (len(rows), E), on the device."""
        w, _ = self._read(self._index(rows), step, lr)
        out.copy_(flow.nn.functional.normalize(w, dim=1))

    def update(self, rows: np.ndarray, gradient: flow.Tensor, step: int, lr: float) -> None:
        """Takes a step. gradient: that of the normalised centres of the sample, (len(rows), E), on the device."""
        index = self._index(rows)
        w, v = self._read(index, step, lr)
        norms = w.norm(dim=1, keepdim=True).clamp(min=1e-12)
        centres = w / norms
        gradient = (gradient - centres * (gradient * centres).sum(dim=1, keepdim=True)) / norms
        w, v = self._rule.update(w, v, gradient, lr)
        tensors = self.tensors()
        tensors["weight"][index], tensors["momentum"][index] = w, v
        if self._rule.correct_skipped:
            tensors["last_step"][index] = flow.full((len(rows),), step, dtype=flow.int32, device=self.device)

    def _index(self, rows: np.ndarray) -> flow.Tensor:
        return flow.tensor(rows).to(self.device)

    def _read(self, index: flow.Tensor, step: int, lr: float) -> tuple[flow.Tensor, flow.Tensor]:
        tensors = self.tensors()
        w, v = (flow.index_select(tensors[name], 0, index) for name in ("weight", "momentum"))
        if self._rule.correct_skipped:
            last = flow.index_select(tensors["last_step"], 0, index).numpy()
            m = flow.tensor(self._rule.catch_up(step - 1 - last, lr)).to(self.device)
            w, v = m[:, 0, :1] * w + m[:, 0, 1:] * v, m[:, 1, :1] * w + m[:, 1, 1:] * v
        return w, v
