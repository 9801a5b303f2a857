"""One rank of tests/engine/test_drawn.py: trains a small Vision Transformer that draws, in every way that CASES says,
and writes what became of it to OUTPUT. It has no BatchNorm, so that a batch may be shared in any way.
"""

import sys
from itertools import product

import numpy as np
import oneflow as flow
from oneflow import nn

from backbones.registry import Sizes
from backbones.vit import VisionTransformer
from data.batch import Batch
from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.model import Classifier, freeze
from engine.step import TrainStep
from heads.class_parallel import ClassParallelHead
from heads.sampling import ClassSampler
from heads.shards import shard_range
from heads.stores.device import DeviceRows
from heads.stores.store import RowShape, Surroundings
from optim import make_optimizer
from optim.parameters import ParameterRules
from tests.losses.extra_margins import margin_of
from utils.pixels import ImageShape
from utils.runtime import Runtime, local_array, start_runtime, write_local

SIZES, CLASSES, BATCH, STEPS, SEED = Sizes(8, ImageShape(36, 27, 3)), 11, 8, 4, 3
CASES = [f"{mode}-{acc}" for mode, acc in product(("graph", "eager"), (1, 2))]


def batches() -> list[Batch]:
    """Of all ranks; images as a network takes them."""
    rng = np.random.default_rng(1)
    return [
        Batch(
            rng.normal(size=(BATCH, 3, 36, 27)).astype(np.float32),
            rng.integers(0, CLASSES, BATCH),
            rng.permutation(1000)[:BATCH],
        )
        for _ in range(STEPS)
    ]


def make_step(mode: str, acc: int, runtime: Runtime) -> tuple[nn.Module, DeviceRows, TrainStep]:
    backbone = VisionTransformer(SIZES, dropout=0.4, dim=16, depth=2, drop_path=0.5, mask=0.4)
    backbone.feature[1] = backbone.feature[3] = nn.Identity()
    if mode == "graph":
        backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    else:
        backbone.to(runtime.device)
    rng = np.random.default_rng(2)
    for parameter in backbone.parameters():
        write_local(parameter, (rng.normal(size=parameter.shape) * 0.3).astype(np.float32))
    share, margin = shard_range(CLASSES, runtime.ranks, runtime.rank), margin_of("arcface", s=8.0)
    shape, around = RowShape((SIZES.embedding,), margin.normalized, ()), Surroundings(CLASSES, None, runtime)
    store = DeviceRows(*share, shape, make_optimizer("adamw"), "float32", seed=0, surroundings=around)
    store.begin()
    store.load("weight", rng.normal(size=(CLASSES, SIZES.embedding)).astype(np.float32)[slice(*share)])
    sampler = ClassSampler(CLASSES, runtime.ranks, runtime.rank, 1.0, BATCH, seed=5)
    head = ClassParallelHead(store, sampler, SIZES.embedding, runtime.placement, margin)
    optimizer, rules = make_optimizer("adamw"), ParameterRules(0.1)
    freeze(backbone, rules)
    model = Classifier(backbone, head)
    parts = model, optimizer, rules, runtime, 5.0, acc
    inner = GraphStep(*parts) if mode == "graph" else EagerStep(*parts)
    return backbone, store, TrainStep(inner, head, lambda step: 0.01, rules, runtime, acc, SEED, draws=model.draws)


def train(mode: str, acc: int, runtime: Runtime) -> dict[str, np.ndarray]:
    shares = [Batch(*(np.split(rows, runtime.ranks)[runtime.rank] for rows in batch[:3])) for batch in batches()]
    backbone, store, step = make_step(mode, acc, runtime)
    losses = []
    for number, share in enumerate(shares):
        if number == STEPS // 2:
            weights = {name: local_array(p).copy() for name, p in backbone.named_parameters()}
            # What they give is the run's own memory.
            state, rows = ({n: np.array(a) for n, a in held.items()} for held in (step.state(), store.arrays()))
        loss = step(share)["loss"].to_global(sbp=flow.sbp.broadcast).to_local().numpy()
        losses.append(loss.mean())
    results = {name: local_array(p).copy() for name, p in backbone.named_parameters()} | {"losses": np.array(losses)}
    if acc == 1:
        return results
    other = "eager" if mode == "graph" else "graph"
    for name, wanted in (("resumed", mode), ("crossed", other)):
        backbone, store, step = make_step(wanted, acc, runtime)
        for parameter, values in weights.items():
            write_local(dict(backbone.named_parameters())[parameter], values)
        for array, values in rows.items():
            store.load(array, values)
        step.restore(STEPS // 2, {slot: np.array(values) for slot, values in state.items()})  # trained in place
        for share in shares[STEPS // 2 :]:
            step(share)
        results |= {f"{name}.{parameter}": local_array(p).copy() for parameter, p in backbone.named_parameters()}
    return results


if __name__ == "__main__":
    output, *cases = sys.argv[1:]
    runtime = start_runtime("cpu")
    trained = {case: train(case.split("-")[0], int(case.split("-")[1]), runtime) for case in cases}
    results = {f"{case}/{name}": array for case, arrays in trained.items() for name, array in arrays.items()}
    np.savez(f"{output}-{runtime.rank}.npz", **results)
