"""The last layer of a classifier over very many identities: centers of each class, split over the ranks.

All classes take part in a step, or a sample of them (Partial FC, see heads/sampling.py): to this file the first is a
sample of everything.
"""

from typing import Any

import numpy as np
import oneflow as flow

from heads.accuracy import batch_accuracy
from heads.gradients import by_micro_batch, factored_gradient, whole_gradient
from heads.sampling import Sample
from heads.shards import shard_range
from heads.softmax import ClassSoftmax
from heads.stores.store import RowStore
from utils.runtime import Runtime


class ClassParallelHead(ClassSoftmax):
    """`ClassSoftmax` over this rank's class centers in a store, which it brings to a step and trains after it."""

    def __init__(self, store: RowStore, *softmax: Any, **settings: Any) -> None:
        """softmax and settings: as `ClassSoftmax` takes them."""
        super().__init__(*softmax, **settings)
        self.store = store
        self._current = False  # whether `rows` are the centers of a sample of everything as the last step left them

    def fetch(self, sample: Sample, step: int, lr: float) -> np.ndarray:
        """The centers of a sample as `rows` holds them, (count, centers * width) float32, from a store on the host."""
        return self._take(sample.rows, self.sampler.count, step, lr)

    def _take(self, rows: np.ndarray | slice, count: int, step: int, lr: float) -> np.ndarray:
        taken = np.empty((count, self.rows.shape[1]), np.float32)
        self.store.take(rows, taken.reshape(count, *self.store.row.shape), step, lr)
        return taken

    def refetch(self, sample: Sample, centers: np.ndarray, trained: Sample, step: int, lr: float) -> None:
        """Brings fetched centers up to date that belong to `trained`, which has been updated since."""
        rows, changed = sample.rows, trained.rows
        assert isinstance(rows, np.ndarray) and isinstance(changed, np.ndarray), "all rows are never fetched ahead"
        stale = np.flatnonzero(np.isin(rows, changed, assume_unique=True))
        centers[stale] = self._take(rows[stale], len(stale), step, lr)

    def place(self, sample: Sample, step: int, lr: float, fetched: np.ndarray | None = None) -> None:
        """Fills `rows` with the centers of a sample (`fetched`, if they are at hand) for the coming step."""
        if self._current:
            return
        rows = self.rows.to_local()
        if not self.store.on_host:
            self.store.take(sample.rows, rows.reshape(len(rows), *self.store.row.shape), step, lr)
        elif rows.is_cuda:
            fetched = self.fetch(sample, step, lr) if fetched is None else fetched
            rows.copy_(flow.from_numpy(fetched).to(rows.device).to(self.dtype))  # a CPU is slow to cast
        elif fetched is None:
            held = rows.numpy()  # waits for the step before, and is no copy
            self.store.take(sample.rows, held.reshape(len(held), *self.store.row.shape), step, lr)
        else:
            np.copyto(rows.numpy(), fetched)

    def accuracy(self, sample: Sample, results: dict[str, flow.Tensor], runtime: Runtime, micro: int = 1) -> float:
        """The share of the global batch that is nearest to its own class, of those of the step. A collective.

        results: as for `update`, before which it has to be called, for that may renew `rows`.
        """
        directions, centers, first = results["directions"].to_local(), self.rows.to_local(), self.sampler.first_slot
        if not self.model_parallel:  # every rank has all centers, and looks at a share of them
            first, stop = shard_range(len(centers), runtime.ranks, runtime.rank)
            centers = centers[first:stop]
        slots = by_micro_batch(sample.labels, runtime.ranks, micro) - first
        centers = centers.reshape(len(centers), self.columns.centers, self.columns.width)
        return batch_accuracy(directions, centers, slots, runtime.exchange)

    def update(
        self, sample: Sample, results: dict[str, flow.Tensor], step: int, lr: float, updates: int, micro: int = 1
    ) -> None:
        """Trains the centers of a sample.

        results: as `forward` returned them, of `micro` micro-batches one below the other. updates: how many went before
        since the optimizer's slots were zeros.
        """
        shape, on_host = self.store.row.shape, self.store.on_host
        if self.model_parallel:
            weight = (self._half_weight(len(sample.labels) // micro) if self.half else 1.0) / micro
            gradient_of = factored_gradient(sample, self.sampler, shape, on_host, weight, micro, **results)
        else:
            own = {name: results[name] for name in ("nearest", "parameters") if name in results}
            labels = by_micro_batch(sample.labels, self.rows.placement.ranks.size, micro)
            gradient_of = whole_gradient(labels, shape, on_host, micro, results["gradient"], **own)
        centers = None
        if self.sampler.takes_all:  # the next step sees the same centers, so they are replaced while they are at hand
            rows = self.rows.to_local()
            if not on_host:
                centers = rows.reshape(len(rows), *shape)
            elif not rows.is_cuda:
                centers = rows.numpy().reshape(-1, *shape)
        self.store.update(sample.rows, gradient_of, step, lr, updates, centers)
        self._current = centers is not None
