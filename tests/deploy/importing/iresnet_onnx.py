"""An IResNet as an ONNX model, as others export it: main path before shortcut, BatchNorms apart or folded."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

EPSILON = 2e-5


class Export:
    """state: tensors with arcface_torch's names; folded: BatchNorms that follow convolutions are in these."""

    def __init__(self, state, folded=False, strides=(2, 2, 2, 2), act="PRelu") -> None:
        self._state, self._folded, self._strides, self._act = state, folded, strides, act
        self._nodes, self._constants = [], []

    def model(self) -> onnx.ModelProto:
        """Takes pixels 0 to 255 RGB, and subtracts and divides itself."""
        value = self._add("Sub", "input", self._constant(np.float32(127.5)))
        value = self._add("Mul", value, self._constant(np.float32(1 / 128)))
        value = self._act_of(self._conv(value, "conv1", "bn1"), "prelu")
        for stage, stride in enumerate(self._strides, 1):
            number = 0
            while f"layer{stage}.{number}.conv1.weight" in self._state:
                value = self._block(value, f"layer{stage}.{number}", 1 if number else stride)
                number += 1
        flat = self._add("Flatten", self._norm(value, "bn2"), axis=1)
        weights = [self._constant(self._state[f"fc.{part}"]) for part in ("weight", "bias")]
        self._norm(self._add("Gemm", flat, *weights, transB=1), "features", "output")
        ports = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
            for name, shape in (("input", (3, 112, 112)), ("output", self._state["features.running_mean"].shape))
        ]
        graph = helper.make_graph(self._nodes, "iresnet", ports[:1], ports[1:], self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)

    def _block(self, value: str, name: str, stride: int) -> str:
        out = self._act_of(
            self._conv(self._norm(value, f"{name}.bn1"), f"{name}.conv1", f"{name}.bn2"), f"{name}.prelu"
        )
        out = self._conv(out, f"{name}.conv2", f"{name}.bn3", stride)
        if f"{name}.downsample.0.weight" in self._state:
            value = self._conv(value, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        return self._add("Add", out, value)

    def _conv(self, value: str, name: str, norm: str, stride: int = 1) -> str:
        weight = self._state[f"{name}.weight"]
        settings = {"strides": [stride] * 2, "pads": [weight.shape[2] // 2] * 4}
        if not self._folded:
            return self._norm(self._add("Conv", value, self._constant(weight), **settings), norm)
        gamma, beta, mean, variance = self._parts(norm)
        scale = gamma / np.sqrt(variance.astype(np.float64) + EPSILON)
        numbers = (weight * scale[:, None, None, None], beta - mean * scale)
        return self._add("Conv", value, *(self._constant(each.astype(np.float32)) for each in numbers), **settings)

    def _norm(self, value: str, name: str, output: str = "") -> str:
        parts = [self._constant(array) for array in self._parts(name)]
        return self._add("BatchNormalization", value, *parts, epsilon=EPSILON, output=output)

    def _act_of(self, value: str, name: str) -> str:
        if self._act != "PRelu":
            return self._add(self._act, value)
        return self._add("PRelu", value, self._constant(self._state[f"{name}.weight"].reshape(-1, 1, 1)))

    def _parts(self, norm: str) -> list[np.ndarray]:
        return [self._state[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]

    def _constant(self, array: np.ndarray) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self._constants)}"))
        return self._constants[-1].name

    def _add(self, kind: str, *inputs: str, output: str = "", **attributes) -> str:
        output = output or str(len(self._nodes) + 100)
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output
