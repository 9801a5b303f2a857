"""One rank of tests/engine/test_graph.py: trains every case and writes what came out to OUTPUT (an .npz)."""

import sys

import numpy as np
import oneflow as flow
from easydict import EasyDict
from oneflow import nn

from engine.batchnorm import averaged_state, rank_statistics
from engine.graph import GraphStep
from engine.optim import build_sgd
from engine.schedule import Schedule
from engine.trainer import Classifier
from heads.class_parallel import ClassParallelHead, shard_range
from tests.engine.cases import CASES, CLASSES, EMBEDDING, HIDDEN, IN, SCHEDULE, batches, initial_parameters, settings
from utils.runtime import start_runtime, write_local


def train(case: str, runtime) -> dict[str, np.ndarray]:
    wanted = settings(case)
    norm = nn.BatchNorm1d(HIDDEN) if wanted["batch_norm"] else nn.Identity()
    backbone = nn.Sequential(nn.Linear(IN, HIDDEN), norm, nn.Linear(HIDDEN, EMBEDDING))
    backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    head = ClassParallelHead(
        CLASSES,
        EMBEDDING,
        runtime.placement,
        margins=wanted["margins"],
        scale=wanted["scale"],
        gradient="straight_through" if wanted["straight_through"] else "exact",
        filtering=wanted["filtering"],
        model_parallel=wanted["model_parallel"],
    )
    model = Classifier(backbone, head)
    start, stop = 0, CLASSES
    if wanted["model_parallel"]:
        start, stop = shard_range(CLASSES, runtime.ranks, runtime.rank)
    for name, values in initial_parameters(wanted["batch_norm"]).items():
        parameter = dict(model.named_parameters())[name]
        write_local(parameter, values[start:stop] if name == "head.weight" else values)
    optimizer = build_sgd(
        backbone, head, EasyDict(clip_grad_norm=wanted["clip"], lr=SCHEDULE["lr"], momentum=0.9, weight_decay=5e-4)
    )
    step = GraphStep(model, optimizer, Schedule(**SCHEDULE).attach(optimizer), gradient_acc=wanted["gradient_acc"])
    losses = []
    for x, y in batches(wanted["gradient_acc"]):
        share = slice(runtime.rank * len(x) // runtime.ranks, (runtime.rank + 1) * len(x) // runtime.ranks)
        loss = step(runtime.split_batch(x[share]), runtime.split_batch(y[share]))
        losses.append(loss.to_global(sbp=flow.sbp.broadcast).to_local().numpy().mean())
    found = {"losses": np.array(losses)}
    for name, parameter in model.named_parameters():
        found[name] = parameter.to_global(sbp=flow.sbp.broadcast).to_local().numpy()
        found[f"local.{name}"] = parameter.to_local().numpy()
    found |= {f"averaged.{n}": a for n, a in averaged_state(backbone, runtime).items()}
    found |= {f"own.{n}": a for n, a in rank_statistics(backbone).items()}
    return found


if __name__ == "__main__":
    runtime = start_runtime("cpu")
    results = {f"{case}/{name}": a for case in CASES for name, a in train(case, runtime).items()}
    np.savez(f"{sys.argv[1]}-{runtime.rank}.npz", **results)
