"""The layers with weights of an ONNX model, in the order in which networks here are written.

Names in an exported model say nothing, and exporters fold a BatchNorm into the convolution before it. So layers are
known by what they are, in the order of the graph: along the longer way to each addition first, then its shortcut.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx

from deploy.onnx_graph import MOVING, constants_of, first_arithmetic
from utils.errors import UserError

CONV, LINEAR, NORM, PRELU = "Conv", "Gemm", "BatchNormalization", "PRelu"
_PASSING = {"Flatten", "Reshape", "Dropout", "Squeeze", "Shape", "Gather", "Unsqueeze", "Concat"} | MOVING  # no weights
_SUMS = {"Add", "Sum"}


@dataclass(frozen=True)
class Layer:
    """kind: one of the above; weight: (O, I, H, W), (O, I), or slopes, empty of a BatchNorm; bias (O,) or None.

    norm: gamma, beta, mean and variance of a BatchNorm with our epsilon; attached: it alone follows a convolution or a
    linear layer.
    """

    kind: str
    weight: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    bias: np.ndarray | None = None
    norm: tuple[np.ndarray, ...] = ()
    attached: bool = False


def layers_of(model: onnx.ModelProto, output: str, epsilon: float) -> list[Layer]:
    """Those that `output` comes from. epsilon: of BatchNorms here.

    Raises UserError naming an operation that is in no network of convolutions, BatchNorms, PReLU and linear layers.
    """
    return list(_Walk(model.graph, epsilon).layers(output))


class _Walk:
    def __init__(self, graph: onnx.GraphProto, epsilon: float) -> None:
        self._constants, self._epsilon = constants_of(graph), epsilon
        self._makers = {value: node for node in graph.node for value in node.output}
        self._users = Counter(value for node in graph.node for value in node.input)
        self._user = {value: node for node in graph.node for value in node.input}
        self._depths: dict[str, int] = {}
        for node in graph.node:  # in topological order
            deepest = max((self._depths.get(value, 0) for value in node.input), default=0)
            self._depths.update(dict.fromkeys(node.output, deepest + 1))
        inputs = [each.name for each in graph.input if each.name not in self._constants]
        self._of_pixels = {node.output[0] for name in inputs for node, _ in first_arithmetic(graph, name)}

    def layers(self, output: str) -> Iterator[Layer]:
        seen: set[str] = set()
        waiting = [(output, False)]  # each value waits for those it is made of; networks outgrow Python's stack
        while waiting:
            value, ready = waiting.pop()
            node = self._makers.get(value)
            if node is None or value in self._constants:
                continue
            if ready:
                yield from self._layer(node)
            elif value not in seen:
                seen.add(value)
                waiting.append((value, True))
                moving = [each for each in node.input if each and each not in self._constants]
                waiting += [(each, False) for each in sorted(moving, key=lambda each: self._depths.get(each, 0))]

    def _layer(self, node: onnx.NodeProto) -> Iterator[Layer]:
        given = [self._constants[value] for value in node.input if value in self._constants]
        numbers = [array.astype(np.float32, copy=False) for array in given]
        attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        moving = sum(bool(value) for value in node.input) - len(given)
        kind = node.op_type
        if kind == CONV and moving == 1:
            yield Layer(CONV, numbers[0], numbers[1] if len(numbers) > 1 else None)
        elif kind == LINEAR and moving == 1:
            weight = numbers[0] if attributes.get("transB") else numbers[0].T
            yield Layer(LINEAR, weight, numbers[1] if len(numbers) > 1 else None)
        elif kind == "MatMul" and moving == 1 and numbers[0].ndim == 2:
            after = self._user.get(node.output[0])
            bias = self._bias(after) if after is not None and self._users[node.output[0]] == 1 else None
            yield Layer(LINEAR, numbers[0].T, bias)
        elif kind == NORM and len(numbers) == 4:
            *rest, variance = numbers
            variance = (variance + np.float64(attributes.get("epsilon", 1e-5) - self._epsilon)).astype(np.float32)
            yield Layer(NORM, norm=(*rest, variance), attached=self._follows_weights(node))
        elif kind == PRELU and moving == 1:
            yield Layer(PRELU, numbers[0].reshape(-1))
        elif not (
            kind in _PASSING
            or (kind in _SUMS and moving == len(node.input))
            or node.output[0] in self._of_pixels
            or self._bias(node) is not None
        ):
            raise UserError(f"{kind} {node.name or node.output[0]} is in none of the networks that are known by order")

    def _bias(self, node: onnx.NodeProto) -> np.ndarray | None:
        """That an addition adds to a product of matrices; None if it is none."""
        if node.op_type != "Add" or not any(self._made_by(value) == "MatMul" for value in node.input):
            return None
        return next((self._constants[each].reshape(-1) for each in node.input if each in self._constants), None)

    def _follows_weights(self, norm: onnx.NodeProto) -> bool:
        value = norm.input[0]
        maker = self._makers.get(value)
        is_weights = maker is not None and (maker.op_type in (CONV, LINEAR, "MatMul") or self._bias(maker) is not None)
        return is_weights and self._users[value] == 1

    def _made_by(self, value: str) -> str:
        return self._makers[value].op_type if value in self._makers else ""


def scaling_inside(graph: onnx.GraphProto, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(scale, shift), each (1,) or (3,) float64, of the arithmetic with constants that begins with the input `name`.

    Raises UserError if that divides or subtracts from a constant.
    """
    scale, shift = np.ones(1), np.zeros(1)
    for node, constant in first_arithmetic(graph, name):
        number = constant.astype(np.float64).reshape(-1)
        if node.op_type in ("Sub", "Div") and node.input[1] not in constants_of(graph):
            raise UserError(f"{node.op_type} {node.name or node.output[0]} takes the pixels from a number")
        if node.op_type in ("Mul", "Div"):
            factor = number if node.op_type == "Mul" else 1 / number
            scale, shift = scale * factor, shift * factor
        else:
            shift = shift + (number if node.op_type == "Add" else -number)
    scale, shift = np.broadcast_arrays(scale, shift)
    return scale, shift
