"""ONNX models of others: embedders, weights to import, detectors."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deploy.importing.onnx_layers import layers_of
from deploy.onnx_embedder import OnnxEmbedder
from recognition.detectors.choose import load_detector
from tests.fuzz.format import Format
from tests.recognition.pooled_model import write_model
from tests.recognition.scrfd import write_scrfd
from tests.recognition.yunet import write_yunet
from utils.errors import UserError


def make_embedder(folder: Path) -> None:
    write_model(folder / "x.onnx", 8)


def read_embedder(folder: Path) -> str:
    model = OnnxEmbedder(folder / "x.onnx", threads=1)
    model(np.zeros((2, 112, 112, 3), np.uint8))
    return ""


def make_detector(folder: Path) -> None:
    """A network of one convolution with the four maps of CenterFace."""
    maps = {"heat": 1, "scale": 2, "offset": 2, "landmarks": 10}
    rng = np.random.default_rng(0)
    nodes, weights, outputs = [], [], []
    for name, channels in maps.items():
        weights.append(
            numpy_helper.from_array(rng.normal(0, 1e-3, (channels, 3, 4, 4)).astype(np.float32), f"{name}.w")
        )
        nodes.append(helper.make_node("Conv", ["input", f"{name}.w"], [name], kernel_shape=[4, 4], strides=[4, 4]))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, "h", "w"]))
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 32, 32])]
    graph = helper.make_graph(nodes, "detector", inputs, outputs, weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), str(folder / "d.onnx")
    )


def read_detector(folder: Path) -> str:
    load_detector(str(folder / "d.onnx"), threads=1)(np.zeros((40, 50, 3), np.uint8))
    return ""


def make_yunet(folder: Path) -> None:
    write_yunet(folder / "y.onnx")


def read_yunet(folder: Path) -> str:
    load_detector(str(folder / "y.onnx"))(np.zeros((64, 64, 3), np.uint8))
    return ""


def make_scrfd(folder: Path) -> None:
    write_scrfd(folder / "s.onnx")


def read_scrfd(folder: Path) -> str:
    load_detector(str(folder / "s.onnx"), threads=1)(np.zeros((64, 64, 3), np.uint8))
    return ""


def make_layers(folder: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = {
        "conv.w": (4, 3, 3, 3),
        "gamma": (4,),
        "beta": (4,),
        "mean": (4,),
        "var": (4,),
        "fc.w": (8, 4 * 112 * 112),
    }
    weights = [numpy_helper.from_array(rng.random(shape, np.float32), name) for name, shape in list(shapes.items())[:5]]
    nodes = [
        helper.make_node("Conv", ["input", "conv.w"], ["c"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["c", "gamma", "beta", "mean", "var"], ["n"], epsilon=1e-5),
        helper.make_node("Flatten", ["n"], ["f"]),
    ]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 112, 112])]
    outputs = [helper.make_tensor_value_info("f", TensorProto.FLOAT, ["batch", 4 * 112 * 112])]
    graph = helper.make_graph(nodes, "layers", inputs, outputs, weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), str(folder / "l.onnx")
    )


def read_layers(folder: Path) -> str:
    """As an import does: the model has to run before its layers are looked at."""
    theirs = OnnxEmbedder(folder / "l.onnx", threads=1)
    with suppress(UserError):  # deploy/importing/run.py puts the file's name before it
        layers_of(onnx.load(folder / "l.onnx"), theirs.output, 1e-5)
    return ""


FORMATS = (
    Format("onnx", ("deploy.onnx_embedder", "deploy.onnx_ports"), make_embedder, ("x.onnx",), read_embedder),
    Format("onnx_layers", ("deploy.importing.run",), make_layers, ("l.onnx",), read_layers),
    Format(
        "detector",
        ("recognition.detectors.choose", "recognition.detectors.session"),
        make_detector,
        ("d.onnx",),
        read_detector,
    ),
    Format("yunet", ("recognition.detectors.yunet",), make_yunet, ("y.onnx",), read_yunet),
    Format("scrfd", ("recognition.detectors.session",), make_scrfd, ("s.onnx",), read_scrfd),
)
