"""One rank of tests/engine/test_sampled.py: MODE (graph or eager) trains CASES and writes what came out."""

import sys
from pathlib import Path

import numpy as np
import oneflow as flow
from easydict import EasyDict
from oneflow import nn

from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.model import Classifier
from engine.optim import build_sgd
from engine.sampled import SampledStep
from engine.schedule import Schedule
from heads.class_parallel import shard_range
from heads.device_rows import DeviceRows
from heads.mapped_rows import MappedRows
from heads.row_store import HostRows
from heads.sampled import SampledHead
from heads.sampling import ClassSampler
from heads.sparse_momentum import SparseMomentum
from tests.engine.cases import (
    BATCH,
    EMBEDDING,
    HIDDEN,
    IN,
    SCHEDULE,
    batches,
    initial_parameters,
    sampled_settings,
)
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import local_array, start_runtime, write_local

RULE = SparseMomentum(0.9, 5e-4)


def make_store(kind: str, classes: int, share: tuple[int, int], folder: Path, runtime):
    if kind == "host":
        return HostRows(*share, EMBEDDING, RULE, "float32", seed=0)
    if kind == "device":
        return DeviceRows(*share, EMBEDDING, RULE, "cpu", seed=0)
    store = MappedRows(folder, classes, *share, EMBEDDING, RULE, "float32", seed=0)
    if runtime.is_main:
        store.create()
    runtime.sum_over_ranks(np.zeros(1, np.float32))
    return store


def train(case: str, mode: str, folder: Path, runtime) -> dict[str, np.ndarray]:
    wanted = sampled_settings(case)
    classes, acc = wanted["classes"], wanted["gradient_acc"]
    norm = nn.BatchNorm1d(HIDDEN) if wanted["batch_norm"] else nn.Identity()
    backbone = nn.Sequential(nn.Linear(IN, HIDDEN), norm, nn.Linear(HIDDEN, EMBEDDING))
    if mode == "graph":
        backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    share = shard_range(classes, runtime.ranks, runtime.rank)
    store = make_store(wanted["store"], classes, share, folder / case, runtime)
    values = initial_parameters(wanted["batch_norm"], classes)
    store.load("weight", values.pop("head.weight")[slice(*share)])
    for name, parameter in backbone.named_parameters():
        write_local(parameter, values[f"backbone.{name}"])
    sampler = ClassSampler(classes, runtime.ranks, runtime.rank, wanted["rate"], BATCH * acc, seed=5)
    head = SampledHead(
        store,
        sampler,
        EMBEDDING,
        runtime.placement,
        margins=wanted["margins"],
        scale=wanted["scale"],
        gradient="straight_through" if wanted["straight_through"] else "exact",
        filtering=wanted["filtering"],
        half=wanted["half"],
    )
    cfg = EasyDict(
        clip_grad_norm=wanted["clip"], lr=SCHEDULE["lr"], lr_backbone_scale=1.0, momentum=0.9, weight_decay=5e-4
    )
    schedule = Schedule(**SCHEDULE)
    parts = Classifier(backbone, head), build_sgd(backbone, head, cfg), schedule, runtime, acc
    # AMP computes in float32 on a CPU, but its loss scale is at work.
    inner = GraphStep(*parts, fp16=wanted["loss_scale"]) if mode == "graph" else EagerStep(*parts)
    step = SampledStep(inner, head, schedule, runtime, acc, wanted["prefetch"])
    losses, found = [], {}
    shares = []
    for x, y in batches(acc, classes, wanted["labels"]):
        rows = slice(runtime.rank * len(x) // runtime.ranks, (runtime.rank + 1) * len(x) // runtime.ranks)
        shares.append((x[rows], y[rows]))
        found[f"classes/{len(shares) - 1}"] = sampler.draw(len(shares) - 1, y).rows + share[0]
    upcoming = [labels for _, labels in shares[1:]] + [None]
    for (x, y), following in zip(shares, upcoming, strict=True):
        loss = step(x, y, following)
        losses.append(loss.to_global(sbp=flow.sbp.broadcast).to_local().numpy().mean())
    found["losses"] = np.array(losses)
    found["head.weight"] = np.array(store.arrays()["weight"])
    found["head.momentum"] = np.array(store.arrays()["momentum"])
    return found | {f"backbone.{name}": local_array(p) for name, p in backbone.named_parameters()}


if __name__ == "__main__":
    mode, output, *cases = sys.argv[1:]
    runtime = start_runtime("cpu")
    if mode == "graph":
        sleep_while_waiting()  # as train.py does
    results = {f"{c}/{n}": a for c in cases for n, a in train(c, mode, Path(output + "-rows"), runtime).items()}
    np.savez(f"{output}-{runtime.rank}.npz", **results)
