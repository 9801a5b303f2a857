"""One rank of tests/engine/test_step.py: MODE (graph or eager) trains CASES and writes what came out to OUTPUT."""

import sys
from pathlib import Path

import numpy as np
import oneflow as flow
from oneflow import nn

from backbones.synchronized import synchronize_batch_norm
from data.batch import Batch
from engine.batchnorm import averaged_state, rank_statistics
from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.model import Classifier, freeze
from engine.step import TrainStep
from heads.class_means import ClassMeans
from heads.class_parallel import ClassParallelHead
from heads.sampling import ClassSampler
from heads.shards import shard_range
from heads.stores.device import DeviceRows
from heads.stores.host import HostRows
from heads.stores.mapped import MappedRows
from heads.stores.store import RowShape, RowStore, Surroundings
from losses import TotalLoss, make_embedding_loss
from losses.total import Term
from optim import make_optimizer
from optim.parameters import ParameterRules
from tests.engine.cases import (
    BATCH,
    EMBEDDING,
    HIDDEN,
    IN,
    LOGGED,
    SCHEDULE,
    SEED,
    batches,
    center_shape,
    initial_parameters,
    settings,
    teacher_rows,
)
from tests.losses.extra_margins import margin_of
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import local_array, start_runtime, write_local

STORES = {"host": HostRows, "device": DeviceRows, "mmap": MappedRows}


def make_store(wanted: dict, share: tuple[int, int], folder: Path, runtime) -> RowStore:
    name = wanted["head_optimizer"] or wanted["optimizer"]
    optimizer = make_optimizer(name, **wanted["optimizer_parameters"])
    margin = margin_of(wanted["loss"], **wanted["parameters"])
    store = STORES[wanted["store"]](
        *share,
        RowShape(center_shape(wanted), margin.normalized, tuple(margin.parameters.values())),
        optimizer,
        "float32",
        seed=0,
        surroundings=Surroundings(wanted["classes"], folder, runtime),
    )
    store.begin()
    store.prefetches = wanted["prefetch"]
    return store


def make_projection(weight: np.ndarray | None, mode: str, runtime) -> nn.Module | None:
    if weight is None:
        return None
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    if mode == "graph":
        layer.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    write_local(layer.weight, weight)
    return layer


def make_step(wanted: dict, mode: str, folder: Path, runtime):
    """(backbone, head, the step that trains both), with the weights that every rank and NumPy begin with."""
    backbone, head, _, step = make_parts(wanted, mode, folder, runtime)
    return backbone, head, step


def make_parts(wanted: dict, mode: str, folder: Path, runtime):
    """The same, with the projection to the teacher's length, or None, before the step."""
    classes, acc = wanted["classes"], wanted["gradient_acc"]
    norm = nn.BatchNorm1d(HIDDEN) if wanted["batch_norm"] else nn.Identity()
    backbone = nn.Sequential(nn.Linear(IN, HIDDEN), norm, nn.Linear(HIDDEN, EMBEDDING))
    if wanted["sync_batchnorm"]:
        assert synchronize_batch_norm(backbone) == 1
    if mode == "graph":
        backbone.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    ranks, rank = (runtime.ranks, runtime.rank) if wanted["model_parallel"] else (1, 0)
    share = shard_range(classes, ranks, rank)
    store = make_store(wanted, share, folder, runtime)
    values = initial_parameters(wanted["batch_norm"], classes, center_shape(wanted), wanted["teacher"])
    store.load("weight", values.pop("head.weight")[slice(*share)])
    for name, parameter in backbone.named_parameters():
        write_local(parameter, values[f"backbone.{name}"])
    head = ClassParallelHead(
        store,
        ClassSampler(classes, ranks, rank, wanted["rate"], BATCH * acc, seed=5),
        EMBEDDING,
        runtime.placement,
        margin_of(wanted["loss"], **wanted["parameters"]),
        filtering=wanted["filtering"],
        half=wanted["half"],
        model_parallel=wanted["model_parallel"],
        centers=wanted["centers"],
        smoothing=wanted["smoothing"],
        weight=wanted["weight"],
    )
    terms = tuple(Term(weight, name, make_embedding_loss(name, **own)) for weight, name, own in wanted["terms"])
    loss = TotalLoss(wanted["weight"], wanted["loss"], head.margin, terms)
    optimizer = make_optimizer(wanted["optimizer"], **wanted["optimizer_parameters"])
    rules = ParameterRules(optimizer.weight_decay, wanted["multipliers"], wanted["frozen"], wanted["decays_vectors"])
    freeze(backbone, rules)
    projection = make_projection(values.get("projection.weight"), mode, runtime)
    if projection is not None:
        freeze(projection, rules, "projection")
    parts = Classifier(backbone, head, loss, projection), optimizer, rules, runtime, wanted["clip"], acc
    # AMP computes in float32 on a CPU, but its loss scale is at work.
    inner = GraphStep(*parts, fp16=wanted["loss_scale"]) if mode == "graph" else EagerStep(*parts)
    rate = loss.means_rate
    means = None if rate is None else ClassMeans.zeros(classes, EMBEDDING, runtime, rate)
    step = TrainStep(inner, head, SCHEDULE.at, rules, runtime, acc, SEED, bool(terms), means)
    return backbone, head, projection, step


def train(case: str, mode: str, folder: Path, runtime) -> dict[str, np.ndarray]:
    wanted = settings(case)
    backbone, head, projection, step = make_parts(wanted, mode, folder / case, runtime)
    results = {"start": np.array(head.store.start)}
    shares, given = [], batches(wanted["gradient_acc"], wanted["classes"], wanted["labels"])
    for (x, y, records), teacher in zip(given, teacher_rows(given, wanted["teacher"]), strict=True):
        rows = (x, y, records, teacher) if teacher is not None else (x, y, records)
        shares.append(tuple(np.split(each, runtime.ranks)[runtime.rank] for each in rows))
        drawn = np.arange(head.store.stop - head.store.start)[head.sampler.draw(len(shares) - 1, y).rows]
        results[f"classes/{len(shares) - 1}"] = drawn + head.store.start
    losses, accuracies = [], []
    for number, share in enumerate(shares):
        following = shares[number + 1][1] if number + 1 < len(shares) else None
        step_losses = step(Batch(*share[:3], teacher=(*share, None)[3]), following, number in LOGGED)
        losses.append(
            {n: v.to_global(sbp=flow.sbp.broadcast).to_local().numpy().mean() for n, v in step_losses.items()}
        )
        accuracies.append(step.accuracy)
    assert all((accuracy is not None) == (number in LOGGED) for number, accuracy in enumerate(accuracies))
    results["accuracies"] = np.array([accuracies[number] for number in LOGGED])
    results["losses"] = np.array([each["loss"] for each in losses])
    results |= {f"named.{name}": np.array([each[name] for each in losses]) for name in losses[0]}
    results |= {name: values for name, values in step.state().items() if name.startswith("loss.")}
    results |= {f"head.{name}": np.array(rows) for name, rows in head.store.arrays().items()}
    results |= {f"backbone.{name}": local_array(p) for name, p in backbone.named_parameters()}
    if projection is not None:
        results["projection.weight"] = local_array(projection.weight)
    if step.means:
        results["means"] = step.means.rows
    results |= {f"averaged.{n}": a for n, a in averaged_state(backbone, runtime).items()}
    return results | {f"own.{n}": a for n, a in rank_statistics(backbone).items()}


if __name__ == "__main__":
    mode, output, *cases = sys.argv[1:]
    runtime = start_runtime("cpu")
    if mode == "graph":
        sleep_while_waiting()  # as train.py does
    results = {f"{c}/{n}": a for c in cases for n, a in train(c, mode, Path(output + "-rows"), runtime).items()}
    np.savez(f"{output}-{runtime.rank}.npz", **results)
