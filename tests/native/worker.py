"""The process of test_convolution.py and test_normalization.py that has the kernels: FILE gets all results (npz)."""

import sys

import numpy as np
import oneflow as flow
from oneflow import nn

from native.library import load_kernels, scratch_bytes
from tests.native import convolution_cases, normalization_cases
from tests.native.graphs import compiled, eager
from tests.native.normalization_cases import EPSILON, MOMENTUM


def convolution(case: convolution_cases.Convolution):
    def apply(x, weight, bias=None):
        geometry = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": case.groups}
        geometry = {name: list(value) if isinstance(value, tuple) else value for name, value in geometry.items()}
        return flow._C.conv2d(x, weight, bias, channel_pos="channels_first", **geometry)

    return apply


def normalization(case: normalization_cases.Normalization, moving: list[flow.Tensor]):
    names = list(case.inputs())

    def apply(*tensors):
        given = dict(zip(names, tensors, strict=True))
        y = flow._C.normalization(
            given["x"], *moving, given["gamma"], given["beta"],
            axis=1, epsilon=EPSILON, momentum=MOMENTUM, is_training=case.training,
        )  # fmt: skip
        if "addend" in given:
            y = y + given["addend"]
        if case.activation == "prelu":
            return flow._C.prelu(y, given["slope"])
        if case.activation == "relu":
            return flow.relu(y)
        return flow.clip(y, 0.0, 6.0) if case.activation == "relu6" else y

    return apply


class Moving(nn.Module):
    """Moving statistics that a graph may write to."""

    def __init__(self, case: normalization_cases.Normalization) -> None:
        super().__init__()
        for name, value in zip(("moving_mean", "moving_variance"), case.moving(), strict=True):
            self.register_buffer(name, flow.tensor(value))
        self.case = case

    def forward(self, *tensors):
        return normalization(self.case, [self.moving_mean, self.moving_variance])(*tensors)


def main(path: str) -> None:
    load_kernels()
    results = {}
    for name, case in convolution_cases.CASES.items():
        inputs, function = case.inputs(), convolution(case)
        for i, value in enumerate(eager(function, case.weights(), inputs, len(inputs))):
            results[f"convolution/{name}/eager/{i}"] = value
        values, kinds = compiled(function, case.weights(), inputs, len(inputs))
        assert "channels_last_conv2d" in kinds and "channels_last_conv_filter_grad" in kinds, kinds
        for i, value in enumerate(values):
            results[f"convolution/{name}/compiled/{i}"] = value
    for name, case in normalization_cases.CASES.items():
        given = case.inputs()
        names = ["y", *given]
        for mode in ("eager", "compiled"):
            module = Moving(case)
            if mode == "eager":
                values = eager(module, case.weights(), list(given.values()), len(given))
            else:
                values, kinds = compiled(module, case.weights(), list(given.values()), len(given))
                results[f"normalization/{name}/kinds"] = np.array(kinds)
            values += [module.moving_mean.numpy(), module.moving_variance.numpy()]
            for end, value in zip([*names, "moving_mean", "moving_variance"], values, strict=True):
                results[f"normalization/{name}/{mode}/{end}"] = value
    x = flow.randn(2, 16, 10, 10)
    sliced = x[:, :, 2:8, 1:9]  # not in one piece
    weight = flow.randn(8, 16, 3, 3)
    plain, copied = (flow._C.conv2d(each, weight, None, [1, 1], [1, 1], [1, 1], 1) for each in (sliced, sliced.clone()))
    results["sliced"] = np.stack([plain.numpy(), copied.numpy()])
    double = flow._C.conv2d(x.double(), weight.double(), None, [1, 1], [1, 1], [1, 1], 1)
    results["double"] = double.numpy() - flow._C.conv2d(x, weight, None, [1, 1], [1, 1], [1, 1], 1).numpy()
    empty = [np.zeros((0, 16, 10, 10), np.float32), weight.numpy()]
    layer = convolution(convolution_cases.Convolution(0, 16, 10, 10, 8))
    values = eager(layer, np.zeros((0, 8, 10, 10), np.float32), empty, 2)
    for name, value in zip(("y", "x", "weight"), values, strict=True):
        results[f"empty/{name}"] = value
    case = normalization_cases.Normalization((0, 5, 4, 4))
    module, inputs = Moving(case), [np.zeros(case.shape, np.float32), np.ones(5, np.float32), np.ones(5, np.float32)]
    for name, value in zip(("normal", "dx", "gamma", "beta"), eager(module, inputs[0], inputs, 3), strict=True):
        results[f"empty/{name}"] = value
    results["empty/moving_mean"] = module.moving_mean.numpy() - case.moving()[0]
    results["scratch"] = np.array(scratch_bytes())
    np.savez(path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
