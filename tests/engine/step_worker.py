"""One rank of tests/engine/test_step.py: MODE (graph or eager) trains CASES and writes what came out to OUTPUT."""

import sys

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
from heads.class_parallel import ClassParallelHead, shard_range
from tests.engine.cases import CLASSES, EMBEDDING, HIDDEN, IN, SCHEDULE, batches, initial_parameters, settings
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import local_array, start_runtime, write_local


def train(case: str, mode: str, runtime) -> dict[str, np.ndarray]:
    wanted = settings(case)
    norm = nn.BatchNorm1d(HIDDEN) if wanted["batch_norm"] else nn.Identity()
    backbone = nn.Sequential(nn.Linear(IN, HIDDEN), norm, nn.Linear(HIDDEN, EMBEDDING))
    if mode == "graph":
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
        fused=wanted["fused"] and mode == "graph",
    )
    model = Classifier(backbone, head)
    start, stop = 0, CLASSES
    if wanted["model_parallel"]:
        start, stop = shard_range(CLASSES, runtime.ranks, runtime.rank)
    for name, values in initial_parameters(wanted["batch_norm"]).items():
        parameter = dict(model.named_parameters())[name]
        write_local(parameter, values[start:stop] if name == "head.weight" else values)
    optimizer = build_sgd(
        backbone,
        head,
        EasyDict(
            clip_grad_norm=wanted["clip"],
            lr=SCHEDULE["lr"],
            lr_backbone_scale=wanted["backbone_scale"],
            momentum=0.9,
            weight_decay=5e-4,
        ),
    )
    kind = {"graph": GraphStep, "eager": EagerStep}[mode]
    step = kind(model, optimizer, Schedule(**SCHEDULE), runtime, wanted["gradient_acc"])
    losses = []
    for x, y in batches(wanted["gradient_acc"]):
        share = slice(runtime.rank * len(x) // runtime.ranks, (runtime.rank + 1) * len(x) // runtime.ranks)
        loss = step(x[share], y[share])
        losses.append(loss.to_global(sbp=flow.sbp.broadcast).to_local().numpy().mean())
    found = {"losses": np.array(losses)}
    for name, parameter in model.named_parameters():
        found[f"local.{name}"] = local_array(parameter)
        whole = parameter.to_global(sbp=flow.sbp.broadcast) if parameter.is_global else parameter
        found[name] = local_array(whole)
    found |= {f"averaged.{n}": a for n, a in averaged_state(backbone, runtime).items()}
    found |= {f"own.{n}": a for n, a in rank_statistics(backbone).items()}
    return found


if __name__ == "__main__":
    mode, output, *cases = sys.argv[1:]
    runtime = start_runtime("cpu")
    if mode == "graph":
        sleep_while_waiting()  # as train.py does
    results = {f"{case}/{name}": a for case in cases for name, a in train(case, mode, runtime).items()}
    np.savez(f"{output}-{runtime.rank}.npz", **results)
