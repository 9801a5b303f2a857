"""A network with SCRFD's inputs and outputs that finds white squares of 32 pixels."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDES = np.array([0.25, 0.5, 1.25, 1.5], np.float32)  # left, top, right, bottom of the cell's corner, in squares
LANDMARKS = np.array([[0.2, 0.2], [0.8, 0.25], [0.5, 0.5], [0.3, 0.8], [0.7, 0.75]], np.float32)


def write_scrfd(path: Path, landmarks: bool = True, side: int | None = None) -> Path:
    """Strides 8 and 16 find nothing; of each cell of 32 the second anchor is scored by the square's brightness.

    landmarks False: the kind of SCRFD that has none; side: the only size of pictures that it takes.
    """
    nodes, constants, outputs = [], [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    kinds = {"score": np.zeros((2, 1)), "bbox": np.tile(SIDES, (2, 1)), "kps": np.tile(LANDMARKS.ravel(), (2, 1))}
    for kind, numbers in list(kinds.items())[: 3 if landmarks else 2]:
        for stride in (8, 16, 32):
            name = f"{kind}_{stride}"
            weight = np.zeros((numbers.size, 3, 1, 1), np.float32)
            bias = numbers.astype(np.float32).ravel()
            if kind == "score" and stride == 32:  # of (x - 127.5) / 128: 0 for black, 1 for white
                weight[1], bias = 128 / 255 / 3, np.array([0, 0.5], np.float32)
            inputs = [f"mean_{name}", constant(f"w_{name}", weight), constant(f"b_{name}", bias)]
            size = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
            nodes += [
                helper.make_node("AveragePool", ["input.1"], [f"mean_{name}"], **size),
                helper.make_node("Conv", inputs, [f"map_{name}"], kernel_shape=[1, 1]),
                helper.make_node("Transpose", [f"map_{name}"], [f"last_{name}"], perm=[0, 2, 3, 1]),
                helper.make_node(
                    "Reshape", [f"last_{name}", constant(f"s_{name}", np.array([-1, numbers.shape[1]]))], [name]
                ),
            ]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, numbers.shape[1]]))
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, side or "H", side or "W"])
    graph = helper.make_graph(nodes, "scrfd", [picture], outputs, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), str(path))
    return path
