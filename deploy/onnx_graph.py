"""Reading an ONNX graph."""

import numpy as np
import onnx
from onnx import numpy_helper

MOVING = {"Cast", "Transpose", "Identity"}  # change no number, but perhaps its type or place
ARITHMETIC = {"Sub", "Add", "Mul", "Div"}


def constants_of(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """The values that are there before the graph runs, by name."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return constants


def first_arithmetic(graph: onnx.GraphProto, value: str) -> list[tuple[onnx.NodeProto, np.ndarray]]:
    """The (step, its constant) that are done with the input `value` before all else: a normalization inside."""
    constants = constants_of(graph)
    steps: list[tuple[onnx.NodeProto, np.ndarray]] = []
    while True:
        users = [node for node in graph.node if value in node.input]
        if len(users) != 1 or users[0].op_type not in (ARITHMETIC | MOVING):
            return steps
        (node,) = users
        if node.op_type in ARITHMETIC:
            others = [each for each in node.input if each != value]
            if len(others) != 1 or others[0] not in constants:
                return steps
            steps.append((node, constants[others[0]]))
        value = node.output[0]
