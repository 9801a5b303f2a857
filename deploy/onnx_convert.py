"""A backbone as an ONNX graph, through oneflow-onnx's converters."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import oneflow as flow
import onnx
from oneflow import nn
from oneflow_onnx.oneflow2onnx.flow2onnx import ProcessFlowGraph

from deploy.onnx_dynamic_batch import make_batch_dynamic
from deploy.onnx_fold import fold
from utils.errors import UserError
from utils.pixels import USUAL_SHAPE, ImageShape

INPUT, OUTPUT = "input.1", "embedding"  # the input's name is that of InsightFace's models
OPSETS = (11, 12)  # from 13 on, oneflow-onnx's sums and means over axes are silently wrong
_IR_VERSIONS = {11: 6, 12: 7}  # of the ONNX releases that brought the opsets, so that runtimes of their time load it
_MOST_BYTES = 2**31 - 2**24  # of weights: a protobuf message has less than 2 GiB, its graph and names included
_TRACED = (2, 3)  # batch sizes; 1 could hide behind broadcasting


class _Parameter(NamedTuple):
    """What oneflow-onnx asks of a parameter."""

    array: np.ndarray

    def numpy(self) -> np.ndarray:
        return self.array


class _Traced(nn.Graph):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def build(self, images: flow.Tensor) -> flow.Tensor:
        return self.network(images)


def to_onnx(network: nn.Module, opset: int = 11, image: ImageShape = USUAL_SHAPE) -> onnx.ModelProto:
    """`network`, on the CPU and in evaluation mode, as ONNX: `input.1` (batch, channels, H, W) to `embedding`
    (batch, E). image: what it takes.

    Convolutions have taken in the BatchNorm that follows them; the names depend on the network alone. Raises UserError
    where it does what ONNX or the converters cannot say, or has more weights than a file in one piece can hold.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if size > _MOST_BYTES:
        raise UserError(
            f"this network cannot be exported: its weights are {size / 1e9:.2f} GB in float32, from which every "
            "precision is made, and an ONNX file without external data holds 2.14 GB at most"
        )
    parameters = {name: _Parameter(tensor.numpy()) for name, tensor in network.state_dict().items()}
    shape = image.channels, image.height, image.width
    model, other = (_trace(network, parameters, (batch, *shape), opset) for batch in _TRACED)
    try:
        make_batch_dynamic(model, other)
        del other
        graph = fold(model.graph)
        _name_stably(graph)
        graph.name = "backbone"
        opsets = [onnx.helper.make_opsetid("", opset)]
        model = onnx.helper.make_model(
            graph, producer_name="oneflow", opset_imports=opsets, ir_version=_IR_VERSIONS[opset]
        )
        onnx.checker.check_model(model)
    except (ValueError, onnx.checker.ValidationError) as error:
        raise UserError(f"this network cannot be exported: {str(error).splitlines()[0]}") from None
    return model


def _trace(
    network: nn.Module, parameters: Mapping[str, _Parameter], shape: tuple[int, ...], opset: int
) -> onnx.ModelProto:
    graph = _Traced(network)
    graph.build_graph(flow.zeros(*shape))  # traces, and compiles nothing
    with _quiet(), _parameters_from_memory():
        return ProcessFlowGraph(graph._full_graph_proto, parameters, opset=opset).MakeModel("", "")


@contextmanager
def _parameters_from_memory() -> Iterator[None]:
    """oneflow-onnx loads the parameters from a folder they were saved to; here the "folder" is the parameters."""
    load = flow.load
    flow.load = lambda parameters: parameters
    try:
        yield
    finally:
        flow.load = load


@contextmanager
def _quiet() -> Iterator[None]:
    """oneflow-onnx logs what it cannot convert and goes on; the checker finds that too, and raises."""
    logger = logging.getLogger("oneflow_onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _name_stably(graph: onnx.GraphProto) -> None:
    """Names by place: a trace's contain counters of the process.

    Node names are in lower case because the insightface package takes a node `Sub...` and a node `Mul...` near the
    beginning for a normalization inside the model.
    """
    names = {graph.input[0].name: INPUT, graph.output[0].name: OUTPUT}
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type.lower()}_{number}"
        for place, value in enumerate(node.input):
            node.input[place] = names.setdefault(value, f"{node.name}.{place}") if value else ""
        for place, value in enumerate(node.output):
            node.output[place] = names.setdefault(value, f"{node.name}.out{place or ''}")
    for value in [*graph.input, *graph.output, *graph.initializer]:
        value.name = names[value.name]
