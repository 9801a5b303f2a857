"""One rank of tests/engine/test_step.py: MODE (graph or eager) trains CASES and writes what came out to OUTPUT."""

import sys
from pathlib import Path

import numpy as np
import oneflow as flow
from easydict import EasyDict
from oneflow import nn

from engine.batchnorm import averaged_state, rank_statistics
from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.model import Classifier
from engine.optim import build_sgd
from engine.schedule import Schedule
from engine.step import TrainStep
from heads.class_parallel import ClassParallelHead
from heads.device_rows import DeviceRows
from heads.mapped_rows import MappedRows
from heads.row_store import HostRows
from heads.sampling import ClassSampler
from heads.shards import shard_range
from heads.sparse_momentum import SparseMomentum
from losses import make_margin
from tests.engine.cases import BATCH, EMBEDDING, HIDDEN, IN, SCHEDULE, batches, initial_parameters, settings
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import local_array, start_runtime, write_local

RULE = SparseMomentum(0.9, 5e-4)


def make_store(wanted: dict, share: tuple[int, int], folder: Path, runtime):
    if wanted["store"] == "host":
        return HostRows(*share, EMBEDDING, RULE, "float32", seed=0)
    if wanted["store"] == "device":
        return DeviceRows(*share, EMBEDDING, RULE, "cpu", seed=0)
    store = MappedRows(folder, wanted["classes"], *share, EMBEDDING, RULE, "float32", seed=0)
    if runtime.is_main:
        store.create()
    runtime.sum_over_ranks(np.zeros(1, np.float32))
    return store


def make_step(wanted: dict, mode: str, folder: Path, runtime):
    """(backbone, head, the step that trains both), with the weights that every rank and NumPy begin with."""
    classes, acc = wanted["classes"], wanted["gradient_acc"]
    norm = nn.BatchNorm1d(HIDDEN) if wanted["batch_norm"] else nn.Identity()
    backbone = nn.Sequential(nn.Linear(IN, HIDDEN), norm, nn.Linear(HIDDEN, EMBEDDING))
    if mode == "graph":
        backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    ranks, rank = (runtime.ranks, runtime.rank) if wanted["model_parallel"] else (1, 0)
    share = shard_range(classes, ranks, rank)
    store = make_store(wanted, share, folder, runtime)
    values = initial_parameters(wanted["batch_norm"], classes)
    store.load("weight", values.pop("head.weight")[slice(*share)])
    for name, parameter in backbone.named_parameters():
        write_local(parameter, values[f"backbone.{name}"])
    head = ClassParallelHead(
        store,
        ClassSampler(classes, ranks, rank, wanted["rate"], BATCH * acc, seed=5),
        EMBEDDING,
        runtime.placement,
        make_margin(wanted["loss"], **wanted["parameters"]),
        filtering=wanted["filtering"],
        half=wanted["half"],
        model_parallel=wanted["model_parallel"],
    )
    cfg = EasyDict(
        clip_grad_norm=wanted["clip"],
        lr=SCHEDULE["lr"],
        lr_backbone_scale=wanted["backbone_scale"],
        momentum=0.9,
        weight_decay=5e-4,
    )
    schedule = Schedule(**SCHEDULE)
    parts = Classifier(backbone, head), build_sgd(backbone, cfg), schedule, runtime, acc
    # AMP computes in float32 on a CPU, but its loss scale is at work.
    inner = GraphStep(*parts, fp16=wanted["loss_scale"]) if mode == "graph" else EagerStep(*parts)
    return backbone, head, TrainStep(inner, head, schedule, runtime, acc, wanted["prefetch"])


def train(case: str, mode: str, folder: Path, runtime) -> dict[str, np.ndarray]:
    wanted = settings(case)
    backbone, head, step = make_step(wanted, mode, folder / case, runtime)
    results = {"start": np.array(head.store.start)}
    shares = []
    for x, y in batches(wanted["gradient_acc"], wanted["classes"], wanted["labels"]):
        rows = slice(runtime.rank * len(x) // runtime.ranks, (runtime.rank + 1) * len(x) // runtime.ranks)
        shares.append((x[rows], y[rows]))
        drawn = np.arange(head.store.stop - head.store.start)[head.sampler.draw(len(shares) - 1, y).rows]
        results[f"classes/{len(shares) - 1}"] = drawn + head.store.start
    losses = []
    for (x, y), following in zip(shares, [labels for _, labels in shares[1:]] + [None], strict=True):
        loss = step(x, y, following)["loss"]
        losses.append(loss.to_global(sbp=flow.sbp.broadcast).to_local().numpy().mean())
    results["losses"] = np.array(losses)
    results |= {name: values for name, values in step.state().items() if name.startswith("loss.")}
    results |= {f"head.{name}": np.array(rows) for name, rows in head.store.arrays().items()}
    results |= {f"backbone.{name}": local_array(p) for name, p in backbone.named_parameters()}
    results |= {f"averaged.{n}": a for n, a in averaged_state(backbone, runtime).items()}
    return results | {f"own.{n}": a for n, a in rank_statistics(backbone).items()}


if __name__ == "__main__":
    mode, output, *cases = sys.argv[1:]
    runtime = start_runtime("cpu")
    if mode == "graph":
        sleep_while_waiting()  # as train.py does
    results = {f"{c}/{n}": a for c in cases for n, a in train(c, mode, Path(output + "-rows"), runtime).items()}
    np.savez(f"{output}-{runtime.rank}.npz", **results)
