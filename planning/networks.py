"""What a backbone costs: parameters and multiplications, without running it, and its exported size and time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import oneflow as flow
from oneflow import nn

from backbones import get_model, list_models
from backbones.registry import Sizes
from backbones.without_values import without_values
from deploy.onnx_convert import to_onnx
from deploy.onnx_embedder import OnnxEmbedder
from planning.inference import time_face
from utils.errors import UserError

_PRODUCTS = {"matmul", "batch_matmul", "broadcast_matmul"}


def matching(patterns: Sequence[str]) -> list[str]:
    """The networks that fit `patterns`, all if there are none: names in which * and ? stand for anything, or networks
    with options. Each once, in the order of the patterns. Raises UserError for a pattern that fits none.
    """
    chosen = {}
    for pattern in patterns or ["*"]:
        matching = [pattern] if "(" in pattern else [name for name in list_models() if fnmatchcase(name, pattern)]
        if not matching:
            raise UserError(f"no network is named like {pattern!r}; there are {', '.join(list_models())}")
        chosen.update(dict.fromkeys(matching))
    return list(chosen)


@dataclass(frozen=True)
class Cost:
    """parameters: without BatchNorm's running statistics. macs: multiply-accumulates of convolutions and matrix
    products for one image. onnx_bytes, cpu_ms: of an export that was made; a core's time for one image.
    """

    network: str
    parameters: int
    macs: int
    onnx_bytes: int | None = None
    cpu_ms: float | None = None


def count(network: str, sizes: Sizes) -> Cost:
    """Parameters and MACs of `network`, which may have options. Raises UserError as `get_model`."""
    with without_values():
        model = get_model(network, sizes.embedding, image=sizes.image).eval()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    height, width, channels = sizes.image
    return Cost(network, parameters, _macs(model, flow.zeros(1, channels, height, width)))


class _Traced(nn.Graph):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def build(self, images: flow.Tensor) -> flow.Tensor:
        return self.model(images)


def _macs(model: nn.Module, images: flow.Tensor) -> int:
    """Of the operators that `model` is traced to, which have shapes and are never run."""
    graph = _Traced(model)
    graph.build_graph(images)
    job = graph._full_graph_proto
    shapes = {name: desc.shape.dim for name, desc in job.helper.lbn2logical_blob_desc.items()}
    return sum(_macs_of(op.user_conf, shapes) for op in job.net.op if op.HasField("user_conf"))


def _macs_of(op, shapes: dict) -> int:
    if op.op_type_name == "conv2d":
        return math.prod(shapes[op.output["out"].s[0]]) * math.prod(shapes[op.input["weight"].s[0]][1:])
    if op.op_type_name in _PRODUCTS:
        summed = -2 if op.attr["transpose_a"].at_bool else -1
        return math.prod(shapes[op.output["out"].s[0]]) * shapes[op.input["a"].s[0]][summed]
    return 0


def measure_export(cost: Cost, embedding_size: int, timed: bool) -> Cost:
    """`cost` with the size of an ONNX export, of random weights, and if `timed` with the median processor time of one
    image in ONNX Runtime, which other programs hardly change. Raises UserError if the network cannot be exported.
    """
    exported = to_onnx(get_model(cost.network, embedding_size).eval()).SerializeToString()
    cpu_ms = time_face(OnnxEmbedder(exported, threads=1)).cpu_ms if timed else None
    return Cost(cost.network, cost.parameters, cost.macs, len(exported), cpu_ms)
