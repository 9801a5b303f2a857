"""One rank of test_recompute: trains a small residual network with and without activations that are computed again.

Prints a JSON object by case: the largest difference from the plain step, relative to values and a tenth, the operators
that come again, and those that write running statistics.
"""

import json

import numpy as np
import oneflow as flow
from oneflow import nn

from backbones import get_model
from backbones.checkpointing import segments
from backbones.registry import Sizes
from backbones.synchronized import synchronize_batch_norm
from backbones.vit import vit
from engine.graph import TrainGraph
from optim import make_optimizer
from optim.compiled import LearningRate
from optim.parameters import ParameterRules
from utils.cpu_wait import sleep_while_waiting
from utils.pixels import ImageShape
from utils.runtime import local_array, start_runtime

WIDTH, STEPS = 6, 3
_SIZES = Sizes(16, ImageShape(32, 32))
NETWORKS = {
    "vit": lambda: vit(_SIZES, 0.0, dim=16, depth=3),
    "mobilenet_v3_small": lambda: get_model("mobilenet_v3_small(width=0.25)", 16, image=_SIZES.image),
}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(WIDTH), nn.BatchNorm2d(WIDTH)
        self.prelu, self.dropout = nn.PReLU(WIDTH), nn.Dropout(0.3)

    def forward(self, x):
        return self.norm2(self.conv2(self.dropout(self.prelu(self.norm1(self.conv1(x)))))) + x


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, stride=2)
        self.first, self.second = (nn.Sequential(Block(), Block()) for _ in range(2))
        self.last = nn.Linear(WIDTH, 4)

    def stage_modules(self):
        return [self.first, self.second]

    def forward(self, x):
        return self.last(self.second(self.first(self.stem(x))).mean(dim=(2, 3)))


class Loss(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images, labels, state, inputs):
        loss = flow.square(self.backbone(images) - 1.0).mean()
        return loss, {"losses": {"loss": loss}}


def train(kind, synchronized, acc, runtime, build=Network, size=13):
    flow.manual_seed(3)
    network = build().train()
    if synchronized:
        synchronize_batch_norm(network)
    network.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    rate = LearningRate(runtime.placement)
    rate.set(0.1)
    parts = Loss(network), rate, make_optimizer("sgd"), ParameterRules(5e-4)
    recomputed = segments(network, kind, "backbone.") if kind else ()
    flow.manual_seed(5)  # of the masks
    graph, kept, arrays = TrainGraph(*parts, gradient_acc=acc, recomputed=recomputed), [], {}
    for step in range(STEPS):
        rng = np.random.default_rng([step, runtime.rank])
        images = runtime.split_batch(rng.normal(size=(4 * acc, 3, size, size)).astype(np.float32))
        labels = runtime.split_batch(np.zeros(4 * acc, np.int64))
        kept.append((images, labels))
        loss = graph(images, labels, {}, {})["losses"]["loss"].to_global(sbp=flow.sbp.broadcast)
        arrays[f"loss {step}"] = loss.to_local().numpy().copy()
    return arrays | {n: local_array(t).copy() for n, t in network.state_dict().items()}, graph._full_graph_proto


if __name__ == "__main__":
    runtime, said = start_runtime("cpu"), {}
    sleep_while_waiting()
    for synchronized, acc in ((False, 1), (True, 1), (True, 2)):
        plain, _ = train(None, synchronized, acc, runtime)
        for kind in ("blocks", "stages"):
            seen, job = train(kind, synchronized, acc, runtime)
            again = [op for op in job.net.op if op.name.startswith("Recomputed-")]
            writes = [
                op for op in job.net.op
                if op.user_conf.op_type_name == "normalization" and op.user_conf.attr["training"].at_bool
            ]  # fmt: skip
            said[f"{kind}-{'synchronized' if synchronized else 'plain'}-{acc}"] = {
                "error": max(float(np.abs(seen[n] - v).max() / (np.abs(v).max() + 0.1)) for n, v in plain.items()),
                "again": sorted(op.user_conf.op_type_name for op in again),
                "waits": all(len(op.ctrl_in_op_name) == 1 for op in again),
                "writes": len(writes),
                "moved": float(np.abs(plain["first.0.norm1.running_mean"]).max()),
            }
    for name, build in NETWORKS.items():
        plain, _ = train(None, False, 1, runtime, build, 32)
        seen, job = train("blocks", False, 1, runtime, build, 32)
        said[name] = {
            "error": max(float(np.abs(seen[n] - v).max() / (np.abs(v).max() + 0.1)) for n, v in plain.items()),
            "again": sum(op.name.startswith("Recomputed-") for op in job.net.op),
        }
    if runtime.is_main:
        print(json.dumps(said))
