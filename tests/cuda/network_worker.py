"""One rank of test_networks: compiles steps of whole networks for CUDA and writes their jobs to FOLDER."""

import sys
from collections.abc import Callable
from pathlib import Path

import oneflow as flow
from oneflow import nn

from backbones.channels_last import use_channels_last
from backbones.checkpointing import segments
from backbones.drawn import KEPT, PLACES, Draws
from backbones.iresnet import iresnet
from backbones.pixels import Pixels
from backbones.registry import Sizes
from backbones.resnet import resnet
from backbones.resnet_v2 import resnet_v2
from backbones.synchronized import synchronize_batch_norm
from backbones.vit import vit
from engine.graph import TrainGraph
from engine.model import Classifier
from optim import make_optimizer
from optim.compiled import LearningRate
from optim.parameters import ParameterRules
from tests.cuda.worker import leave_empty
from utils.pixels import ImageShape
from utils.runtime import Runtime

BATCH = 6  # images of all ranks
DIM, DEPTH, HEADS, TOKENS, KEPT_TOKENS = 32, 3, 8, 144, 129  # of the Vision Transformers
SMALL = Sizes(16, ImageShape(32, 32))
_TYPES = {KEPT: flow.uint8, PLACES: flow.int32}
NETWORKS: dict[str, Callable] = {
    "vit": lambda: vit(Sizes(16), 0.4, DIM, DEPTH, drop_path=0.1),
    "vit-masked": lambda: vit(Sizes(16), 0.0, DIM, DEPTH, mask=0.1),
    "resnet-nhwc": lambda: channels_last(resnet(SMALL, 0.0, (1, 1, 1, 1), width=0.125)),
    "resnet_v2-nhwc": lambda: channels_last(resnet_v2(SMALL, 0.0, (1, 1, 1, 1), width=0.125, output="gap")),
    "r50": lambda: iresnet(SMALL, 0.4, stages=(3, 4, 14, 3)),
}
# name of a job: network, whether it is computed again
CASES = {
    "vit": ("vit", False),
    "vit-masked": ("vit-masked", False),
    "vit-again": ("vit", True),
    "resnet-nhwc": ("resnet-nhwc", False),
    "resnet_v2-nhwc": ("resnet_v2-nhwc", False),
    "r50": ("r50", False),
    "r50-again": ("r50", True),
}


def channels_last(network: nn.Module) -> nn.Module:
    use_channels_last(network, "network")
    assert synchronize_batch_norm(network) > 0
    return network


class Square(nn.Module):
    """A head whose loss is the mean of the squared embeddings."""

    def forward(self, embedding, labels, state, random):
        loss = flow.square(embedding).mean()
        return loss, {"losses": {"loss": loss}, "state": {}, "results": {}}


def built(case: str, runtime: Runtime, kept: list):
    name, again = CASES[case]
    network = NETWORKS[name]().train()
    columns, side = Draws(network).columns, 112 if name.startswith("vit") else 32
    network.to_global(placement=runtime.placement, sbp=flow.sbp.broadcast)
    model = Classifier(network, Square(), pixels=Pixels(data_format="NHWC" if name.endswith("nhwc") else "NCHW"))
    parts = model, LearningRate(runtime.placement), make_optimizer("sgd"), ParameterRules(5e-4)
    graph = TrainGraph(*parts, fp16=True, recomputed=segments(network, "blocks", "backbone.") if again else ())

    def empty(*shape: int, dtype=flow.uint8) -> flow.Tensor:
        return flow.empty(*shape, dtype=dtype, placement=runtime.placement, sbp=flow.sbp.split(0))

    inputs = {kind: empty(BATCH, width, dtype=_TYPES[kind]) for kind, width in columns.items()}
    batch = empty(BATCH, side, side, 3), empty(BATCH, dtype=flow.int64), {}, inputs
    kept.append((graph, batch))
    graph.build_graph(*batch)
    return graph._full_graph_proto


if __name__ == "__main__":
    (folder,) = sys.argv[1:]
    ranks, rank = flow.env.get_world_size(), flow.env.get_rank()
    runtime = Runtime("cuda", rank, ranks, flow.placement("cuda", ranks=list(range(ranks))))
    leave_empty()
    kept: list = []  # OneFlow knows a tensor that has been in a graph by its address
    for case in CASES:
        job = built(case, runtime, kept)
        if rank == 0:
            Path(folder, f"{case}.job").write_bytes(job.SerializeToString())
