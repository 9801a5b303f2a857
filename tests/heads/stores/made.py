"""Stores for tests, and random steps for them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import oneflow as flow

from heads.stores.device import DeviceRows
from heads.stores.host import HostRows
from heads.stores.mapped import MappedRows
from heads.stores.store import RowShape, RowStore, Surroundings
from optim import Optimizer
from utils.runtime import Runtime

STORES = {"host": HostRows, "device": DeviceRows, "mmap": MappedRows}
ALONE = Runtime("cpu", 0, 1, flow.placement("cpu", ranks=[0]))
BATCH, SAMPLE = 5, 9


def make_store(
    kind: str, rows: int, shape: tuple[int, ...], optimizer: Optimizer, folder: Path | None = None,
    dtype: str = "float32", share: tuple[int, int] | None = None, correct_skipped: bool = False,
    normalized: bool = True, parameters: tuple[float, ...] = (), native: bool = False,
) -> RowStore:  # fmt: skip
    """share: the rows of a rank, all by default. native: by the loops of native/. Files are neither made nor opened."""
    parts = RowShape(shape, normalized, parameters), optimizer, dtype, 1, correct_skipped
    around = Surroundings(rows, folder, replace(ALONE, native=native))
    return STORES[kind](*(share or (0, rows)), *parts, surroundings=around)


def train(store: RowStore, steps: int, lr, seed: int = 2):
    """Some steps on random rows; yields (rows, gradient of the centers, the centers that were taken)."""
    rng, shape = np.random.default_rng(seed), store.row.shape
    for step in range(steps):
        rows = np.sort(rng.choice(store.stop - store.start, SAMPLE, replace=False))
        gradient = (rng.normal(size=(SAMPLE, *shape)) * 2e-4).astype("f")
        taken = np.empty((SAMPLE, *shape), "f") if store.on_host else flow.zeros(SAMPLE, *shape)
        store.take(rows, taken, step, lr(step))
        given = gradient if store.on_host else flow.tensor(gradient)
        store.update(rows, lambda slots, g=given: g[slots], step, lr(step), step)
        yield rows, gradient, np.asarray(taken)


def lr_of(step: int) -> float:
    return 0.1 * (1 - step / 60)
