"""Makes a network that was traced at a fixed batch size take any.

A trace writes the batch size into constants, such as the shape of a flattening. Two traces at different batch sizes
differ in those and in nothing else, so the two graphs are walked side by side from their outputs, and what differs
becomes ONNX's "as many as there are": -1 in a shape, and the largest number where a slice ends.
"""

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

BATCH = "batch"  # the name of the free dimension


def make_batch_dynamic(model: ModelProto, other: ModelProto) -> None:
    """Frees the batch dimension of `model`; `other` is the same network traced at another batch size.

    Raises ValueError where the two differ in more than one number of a constant.
    """
    for a, b in zip(_surface(model.graph), _surface(other.graph), strict=True):
        for dim_a, dim_b in zip(a.type.tensor_type.shape.dim, b.type.tensor_type.shape.dim, strict=True):
            if dim_a.dim_value != dim_b.dim_value:
                dim_a.dim_param = BATCH
    constants_a, constants_b = _constants(model.graph), _constants(other.graph)
    ends = {node.input[2] for node in model.graph.node if node.op_type == "Slice"}
    for name_a, name_b in _pairs(model.graph, other.graph):
        if name_a in constants_a:
            free = np.iinfo(np.int64).max if name_a in ends else -1
            _free(constants_a[name_a], constants_b[name_b], free)


def _surface(graph: GraphProto) -> list:
    return [*graph.input, *graph.output]


def _constants(graph: GraphProto) -> dict:
    """Integer constants by name; the batch size is in no other."""
    return {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == tensor.INT64}


def _pairs(a: GraphProto, b: GraphProto) -> set[tuple[str, str]]:
    """The names of the values that correspond, found backwards from the outputs: names of traces cannot be trusted."""
    makers_a, makers_b = ({value: node for node in graph.node for value in node.output} for graph in (a, b))
    todo = [(x.name, y.name) for x, y in zip(a.output, b.output, strict=True)]
    seen: set[tuple[str, str]] = set()
    while todo:
        pair = todo.pop()
        if pair in seen:
            continue
        seen.add(pair)
        node_a, node_b = makers_a.get(pair[0]), makers_b.get(pair[1])
        if _kind(node_a) != _kind(node_b):
            raise ValueError(f"the network is another at another batch size, from {pair[0]} on")
        if node_a and node_b:
            todo += zip(node_a.input, node_b.input, strict=True)
    return seen


def _kind(node: NodeProto | None) -> tuple | None:
    return node and (node.op_type, sorted(attribute.SerializeToString() for attribute in node.attribute))


def _free(tensor, other, free: int) -> None:
    mine, theirs = numpy_helper.to_array(tensor), numpy_helper.to_array(other)
    differs = mine != theirs
    if mine.shape != theirs.shape or np.count_nonzero(differs) > 1:
        raise ValueError(f"{tensor.name} depends on the batch size in more than one number: {mine} against {theirs}")
    if differs.any():
        tensor.CopyFrom(numpy_helper.from_array(np.where(differs, free, mine), tensor.name))
