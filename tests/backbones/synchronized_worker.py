"""One rank of test_synchronized: trains a small network in both modes, and writes what came out to OUTPUT-RANK.npz.

HOW: "synchronized", or "plain" for OneFlow's own BatchNorm, which on one rank is the same. The compiled step without
accumulation also writes its job to OUTPUT.job.
"""

import sys
from pathlib import Path

import numpy as np
import oneflow as flow
from oneflow import nn

from backbones.synchronized import synchronize_batch_norm
from engine.graph import TrainGraph
from optim import make_optimizer
from optim.compiled import LearningRate
from optim.eager import EagerUpdate
from optim.parameters import ParameterRules
from utils.cpu_wait import sleep_while_waiting
from utils.runtime import local_array, start_runtime, write_local

BATCH, STEPS, EMBEDDING, LR = 12, 3, 5, 0.1


class Distance(nn.Module):
    """As `Classifier`, for `TrainGraph`: the mean squared distance to what the images' labels stand for."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images, labels, state, inputs):
        loss = flow.square(self.backbone(images) - inputs["wanted"]).mean()
        return loss, {"losses": {"loss": loss}}


def make_network(how):
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, eps=1e-3), nn.PReLU(4),
        nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3, momentum=0.3),
        nn.Flatten(), nn.Linear(48, EMBEDDING), nn.BatchNorm1d(EMBEDDING),
    )  # fmt: skip
    rng = np.random.default_rng(1)
    for parameter in network.parameters():
        write_local(parameter, rng.normal(size=tuple(parameter.shape)).astype(np.float32))
    network[7].weight.requires_grad = False  # as that of the last BatchNorm of ours
    if how == "synchronized":
        assert synchronize_batch_norm(network) == 3
    return network.train()


def shares(step, acc, runtime):
    """This rank's images and wanted embeddings: of each micro-batch of all ranks its share, one below the other."""
    rng = np.random.default_rng(step)
    images = rng.normal(size=(acc, BATCH, 2, 8, 8)) * 2 + 1 + step
    wanted = rng.normal(size=(acc, BATCH, EMBEDDING))
    own = slice(runtime.rank * BATCH // runtime.ranks, (runtime.rank + 1) * BATCH // runtime.ranks)
    return [part[:, own].reshape(-1, *part.shape[2:]).astype(np.float32) for part in (images, wanted)]


def compiled(network, acc, runtime, job):
    network.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    rate = LearningRate(runtime.placement)
    rate.set(LR)
    graph = TrainGraph(Distance(network), rate, make_optimizer("sgd"), ParameterRules(0.0), gradient_acc=acc)
    kept, losses = [], []
    for step in range(STEPS):
        images, wanted = map(runtime.split_batch, shares(step, acc, runtime))
        labels = runtime.split_batch(np.zeros(len(images) // runtime.ranks, np.int64))
        kept.append((images, labels, wanted))
        loss = graph(images, labels, {}, {"wanted": wanted})["losses"]["loss"]
        losses.append(loss.to_global(sbp=flow.sbp.broadcast).to_local().numpy().mean())
    if runtime.is_main and acc == 1:
        job.write_bytes(graph._full_graph_proto.SerializeToString())
    return losses


def eager(network, acc, runtime, _):
    network.to(runtime.device)
    trained = dict(network.named_parameters())
    trained = {name: parameter for name, parameter in trained.items() if parameter.requires_grad}
    update, losses = EagerUpdate(make_optimizer("sgd"), trained, ParameterRules(0.0), 0.0), []
    for step in range(STEPS):
        loss = 0.0
        for images, wanted in zip(*(np.split(part, acc) for part in shares(step, acc, runtime)), strict=True):
            images, wanted = (flow.tensor(each).to(runtime.device) for each in (images, wanted))
            part = flow.square(network(images) - wanted).mean() / (acc * runtime.ranks)
            part.backward()
            loss += part.numpy()
        for parameter in trained.values() if runtime.ranks > 1 else ():
            flow._C.local_all_reduce(parameter.grad, inplace=True)
        losses.append(runtime.sum_over_ranks(np.array([loss], np.float32))[0])
        update.step(LR, step)
    return losses


if __name__ == "__main__":
    how, output = sys.argv[1:]
    runtime, results = start_runtime("cpu"), {}
    sleep_while_waiting()
    for mode in (compiled, eager):
        for acc in (1, 2):
            network = make_network(how)
            case = f"{mode.__name__}-{acc}"
            results[f"{case}/losses"] = np.array(mode(network, acc, runtime, Path(output + ".job")))
            results |= {f"{case}/{name}": local_array(tensor) for name, tensor in network.state_dict().items()}
    np.savez(f"{output}-{runtime.rank}.npz", **results)
