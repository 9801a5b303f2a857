"""One rank of test_ranks: a step of each case, compiled and eager. Writes what came out to OUTPUT-RANK.npz.

Its arrays are called "CASE/MODE/TENSOR".
"""

import sys

import numpy as np
import oneflow as flow
from oneflow import nn

from backbones.pixels import Pixels
from backbones.synchronized import synchronize_batch_norm
from engine.eager import EagerStep
from engine.graph import GraphStep
from engine.model import Classifier
from optim import make_optimizer
from optim.parameters import ParameterRules
from tests.backbones.small import DRAWN, EMBEDDING, NAMES, short
from utils.cpu_wait import sleep_while_waiting
from utils.pixels import ImageShape
from utils.runtime import Runtime, local_array, start_runtime

SIDE, BATCH, LR = 32, 8, 1.0  # images of all ranks
STEPS = {"compiled": GraphStep, "eager": EagerStep}
# Most networks train with BatchNorm's statistics as they are, whose sums would take most of the time to compile.
_SYNCHRONIZED = {"mbf_tiny-synchronized": "mbf_tiny", "vit_t-synchronized": "vit_t"}
CASES = (*sorted({*NAMES, *DRAWN} - {"efficientnet_b0", "vit_t"}), *_SYNCHRONIZED)


class Distance(nn.Module):
    """A head: the mean squared distance of embeddings (B, E) S(0) to a point for each label."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        points = np.random.default_rng(1).normal(size=(BATCH, EMBEDDING)).astype(np.float32)
        self.register_buffer("points", flow.tensor(points, placement=runtime.placement, sbp=flow.sbp.broadcast))

    def forward(self, embedding, labels, state, random):
        loss = flow.square(embedding - flow._C.gather(self.points, labels, axis=0)).mean()
        return loss, {"losses": {"loss": loss}, "state": {}, "results": {}}


def fix_statistics(network: nn.Module) -> None:
    """Has each BatchNorm go on with the statistics of some images."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with flow.no_grad():
        network(flow.tensor(np.random.default_rng(4).normal(size=(BATCH, 3, SIDE, SIDE)).astype(np.float32)))
    for norm in norms:
        norm.eval()


def step_of(case: str, mode: str, runtime: Runtime) -> dict[str, np.ndarray]:
    """The loss of a step with this rank's share of a batch, and of each tensor of the network this rank's own: before
    ("before/TENSOR") and after it.
    """
    network = short(_SYNCHRONIZED.get(case, case), ImageShape(SIDE, SIDE)).train()
    if case not in _SYNCHRONIZED:
        fix_statistics(network)
    elif runtime.ranks > 1:  # one rank's own BatchNorm is what all others have to equal
        assert synchronize_batch_norm(network) > 0
    before = {f"before/{key}": value.numpy().copy() for key, value in network.state_dict().items()}
    if mode == "compiled":
        network.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    model = Classifier(network, Distance(runtime), pixels=Pixels())
    step = STEPS[mode](model, make_optimizer("sgd"), ParameterRules(0.0), runtime)
    rng, records = np.random.default_rng(2), np.arange(BATCH)
    images = rng.integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8)
    mirrored = rng.integers(0, 2, BATCH).astype(np.int8)
    own = slice(runtime.rank * BATCH // runtime.ranks, (runtime.rank + 1) * BATCH // runtime.ranks)
    inputs = {"mirrored": mirrored[own]} | model.draws.draw(3, 0, records[own])
    loss = step.run(images[own], records[own], {}, inputs, LR)["losses"]["loss"].to_global(sbp=flow.sbp.broadcast)
    after = {"loss": loss} | network.state_dict()
    return before | {key: local_array(value).copy() for key, value in after.items()}


if __name__ == "__main__":
    (output,) = sys.argv[1:]
    runtime, seen = start_runtime("cpu"), {}
    sleep_while_waiting()
    for case in CASES:
        for mode in STEPS:
            seen |= {f"{case}/{mode}/{key}": value for key, value in step_of(case, mode, runtime).items()}
    np.savez(f"{output}-{runtime.rank}.npz", **seen)
