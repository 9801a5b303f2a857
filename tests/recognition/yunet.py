"""A network with YuNet's inputs and outputs that finds white 32x32 squares, so that OpenCV runs its own decoding."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# In squares of 32 pixels, from a square's corner: the box's center, and the landmarks.
CENTER, SIDE = (0.5, 0.5), 2.0
LANDMARKS = np.array([[0.2, 0.2], [0.8, 0.25], [0.5, 0.5], [0.3, 0.8], [0.7, 0.75]], np.float32)


def write_yunet(path: Path) -> Path:
    """Outputs of strides 8 and 16 find nothing; those of 32 score a square by its mean brightness."""
    nodes, constants = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    outputs = []
    for stride in (8, 16, 32):
        nodes.append(
            helper.make_node(
                "AveragePool", ["input"], [f"mean_{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2
            )
        )
        heads = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
        numbers = {"bbox": [*CENTER, np.log(SIDE), np.log(SIDE)], "kps": LANDMARKS.ravel(), "cls": [0], "obj": [0]}
        for head, channels in heads.items():
            gain = 1 / 255 / 3 if head in ("cls", "obj") and stride == 32 else 0.0
            weight = constant(f"w_{head}_{stride}", np.full((channels, 3, 1, 1), gain, np.float32))
            bias = constant(f"b_{head}_{stride}", np.asarray(numbers[head], np.float32))
            nodes.append(
                helper.make_node(
                    "Conv", [f"mean_{stride}", weight, bias], [f"map_{head}_{stride}"], kernel_shape=[1, 1]
                )
            )
            nodes.append(
                helper.make_node("Transpose", [f"map_{head}_{stride}"], [f"last_{head}_{stride}"], perm=[0, 2, 3, 1])
            )
            shape = constant(f"s_{head}_{stride}", np.array([1, -1, channels], np.int64))
            nodes.append(helper.make_node("Reshape", [f"last_{head}_{stride}", shape], [f"{head}_{stride}"]))
            outputs.append(
                helper.make_tensor_value_info(
                    f"{head}_{stride}", TensorProto.FLOAT, [1, (640 // stride) ** 2, channels]
                )
            )
    graph = helper.make_graph(
        nodes,
        "yunet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 640, 640])],
        outputs,
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), str(path))
    return path
