"""Folds what is constant at inference into the weights before it.

Done here in NumPy because general simplifiers copy the whole model many times over, and r100 is to fit in 4 GiB.
"""

from collections import Counter

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper


def fold(graph: GraphProto) -> GraphProto:
    """`graph` without identities, and without the biases and BatchNorms that follow a convolution or a linear layer.

    The linear layers are those on rows (a flattening comes before them); they become Gemm. `graph` is used up.
    """
    return _Folding(graph).run()


class _Folding:
    """One walk along the nodes, which stand in topological order. A rule returns whether its node goes."""

    def __init__(self, graph: GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._users = Counter(value for node in graph.node for value in node.input)
        self._makers: dict[str, NodeProto] = {}
        self._same: dict[str, str] = {}  # a value whose node went: the one that takes its place

    def run(self) -> GraphProto:
        rules = {
            "Identity": self._identity,
            "Transpose": self._transpose,
            "MatMul": self._linear,
            "Add": self._bias,
            "BatchNormalization": self._batch_norm,
        }
        nodes = []
        for node in self._graph.node:
            for place, value in enumerate(node.input):
                node.input[place] = self._same.get(value, value)
            if node.op_type not in rules or not rules[node.op_type](node):
                nodes.append(node)
                self._makers[node.output[0]] = node
        for value in self._graph.output:  # keeps its name, whatever makes it now
            self._makers[self._same.get(value.name, value.name)].output[0] = value.name
        used = {value for node in nodes for value in node.input}
        tensors = [numpy_helper.from_array(array, name) for name, array in self._constants.items() if name in used]
        return helper.make_graph(nodes, self._graph.name, self._graph.input, self._graph.output, tensors)

    def _identity(self, node: NodeProto) -> bool:
        self._same[node.output[0]] = node.input[0]
        return True

    def _transpose(self, node: NodeProto) -> bool:
        if node.input[0] not in self._constants:
            return False
        array = self._constants[node.input[0]].transpose(node.attribute[0].ints)
        self._constants[node.output[0]] = np.ascontiguousarray(array)
        return True

    def _linear(self, node: NodeProto) -> bool:
        before = self._makers.get(node.input[0])
        if before and before.op_type == "Reshape" and node.input[1] in self._constants:
            rows = len(self._constants.get(before.input[1], ())) == 2
            node.op_type = "Gemm" if rows else node.op_type
        return False

    def _bias(self, node: NodeProto) -> bool:
        linear, bias = self._weighted(node, "Gemm"), self._constants.get(node.input[1])
        if linear is None or bias is None or bias.ndim != 1:
            return False
        self._scale_and_shift(linear, np.ones(len(bias)), bias)
        return self._identity(node)

    def _batch_norm(self, node: NodeProto) -> bool:
        layer = self._weighted(node, "Conv", "Gemm")
        if layer is None:
            return False
        gamma, beta, mean, variance = (self._constants[name].astype(np.float64) for name in node.input[1:])
        epsilon = next(attribute.f for attribute in node.attribute if attribute.name == "epsilon")
        scale = gamma / np.sqrt(variance + epsilon)
        self._scale_and_shift(layer, scale, beta - mean * scale)
        return self._identity(node)

    def _weighted(self, node: NodeProto, *kinds: str) -> NodeProto | None:
        """The layer of one of `kinds` that makes the node's first input; None if it or its weights have other users."""
        layer = self._makers.get(node.input[0])
        if layer is None or layer.op_type not in kinds or layer.input[1] not in self._constants:
            return None
        return layer if self._users[layer.output[0]] == self._users[layer.input[1]] == 1 else None

    def _scale_and_shift(self, layer: NodeProto, scale: np.ndarray, shift: np.ndarray) -> None:
        """Has `layer` give `scale * y + shift` where it gave y, by output channel."""
        weight, bias = layer.input[1], f"{layer.name}.bias"
        by_channel = scale.reshape((-1, 1, 1, 1) if layer.op_type == "Conv" else (1, -1))
        self._constants[weight] = (self._constants[weight] * by_channel).astype(np.float32)
        old = self._constants[layer.input[2]] if len(layer.input) > 2 else 0.0
        self._constants[bias] = (old * scale + shift).astype(np.float32)
        layer.input[:] = [*layer.input[:2], bias]
