"""One rank of test_step.py: trains small networks with the kernels of native/, in their own layout and in OneFlow's.

Arguments: FILE NETWORKS MODES, both with commas. FILE gets the parameters after three steps (npz), under
"NETWORK/MODE/PARAMETER"; prints facts of each job that was compiled.
"""

import json
import sys

import numpy as np
import oneflow as flow
from oneflow import nn

from backbones import get_model
from backbones.checkpointing import segments
from backbones.layer_norm import use_one_operator
from backbones.registry import Sizes
from backbones.synchronized import synchronize_batch_norm
from backbones.vit import VisionTransformer
from engine.graph import TrainGraph
from native.library import with_kernels
from optim import make_optimizer
from optim.compiled import LearningRate
from optim.parameters import ParameterRules
from tests.engine.recompute_worker import Loss, Network
from tests.layout.job import End, crossings, read_operators
from utils.cpu_wait import sleep_while_waiting
from utils.pixels import ImageShape
from utils.runtime import local_array, start_runtime

SMALL = ImageShape(64, 64)  # below, BatchNorm of the last layers has too few numbers to be stable
PATCHES = ImageShape(27, 27)
NETWORKS = {
    "residual": (Network, 13),
    "mbf_tiny": (lambda: get_model("mbf_tiny", 16), 112),
    "mobilenet_v2": (lambda: get_model("mobilenet_v2(width=0.25)", 16, image=SMALL), 64),
    "vit": (lambda: VisionTransformer(Sizes(16, PATCHES), 0.0, dim=16, depth=2, drop_path=0.0, mask=0.0), 27),
}
# native: own layout; synchronized: BatchNorm; kind: of activation checkpointing
MODES = {
    "plain": {"native": False},
    "native": {"native": True},
    "again": {"native": True},
    "synchronized": {"native": True, "synchronized": True},
    "recomputed": {"native": True, "kind": "blocks"},
}


def train(build, size: int, runtime, native: bool, synchronized: bool = False, kind: str = ""):
    flow.manual_seed(3)
    network = build().train()
    if synchronized:
        synchronize_batch_norm(network)
    if native:
        use_one_operator(network)
    network.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    rate = LearningRate(runtime.placement)
    rate.set(0.02)
    recomputed = segments(network, kind, "backbone.") if kind else ()
    parts = Loss(network), rate, make_optimizer("sgd"), ParameterRules(5e-4)
    graph = TrainGraph(*parts, recomputed=recomputed, native=native)
    rng = np.random.default_rng(0)
    for _ in range(3):
        rows = rng.standard_normal((6, 3, size, size)).astype(np.float32)
        share = rows.reshape(runtime.ranks, -1, 3, size, size)[runtime.rank]
        graph(runtime.split_batch(share), runtime.split_batch(np.zeros(len(share), np.int64)), {}, {})["losses"]
    operators = read_operators(graph._compiled_graph_proto)
    own = [op for op in operators if op.kind.startswith(("channels_last_", "to_channels_"))]
    facts = {
        "kinds": [op.kind for op in operators],
        "sent": sum(len(crossing.taken.shape) == 4 for crossing in crossings(operators)),
        "images": sorted({end.sbp for op in own for end in (*op.inputs, *op.outputs) if is_image(end)}),
    }
    return {name: local_array(value).copy() for name, value in network.state_dict().items()}, facts


def is_image(end: End) -> bool:
    """Not a weight, which has four axes too, nor its gradient."""
    return len(end.shape) == 4 and end.slot.rpartition("_")[0] not in ("weight", "filter", "filter_diff")


def main(path: str, networks: str, modes: str) -> None:
    sleep_while_waiting()
    runtime, missing = with_kernels(start_runtime("cpu"))
    assert not missing, missing
    results, facts = {}, {}
    for name in networks.split(","):
        build, size = NETWORKS[name]
        for mode in modes.split(","):
            values, facts[f"{name}/{mode}"] = train(build, size, runtime, **MODES[mode])
            results |= {f"{name}/{mode}/{parameter}": value for parameter, value in values.items()}
    if runtime.is_main:
        np.savez(path, **results)
        print(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
