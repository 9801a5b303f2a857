"""A small model of random weights that still tells faces apart: the face in 8x8 pixels, less its mean, projected."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CELL = 14  # pixels of the face to one of the model


def write_model(path: Path, embedding_size: int = 64) -> Path:
    weight = np.random.default_rng(0).standard_normal((3 * 8 * 8, embedding_size)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", ["input"], ["pooled"], kernel_shape=[CELL] * 2, strides=[CELL] * 2),
            helper.make_node("ReduceMean", ["pooled"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Sub", ["pooled", "mean"], ["centered"]),
            helper.make_node("Flatten", ["centered"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["embedding"]),
        ],
        "pooled",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", embedding_size])],
        [numpy_helper.from_array(weight, "weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), str(path))
    return path
