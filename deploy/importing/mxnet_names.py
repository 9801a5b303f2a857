"""InsightFace's MXNet ArcFace networks (LResNet50E-IR, LResNet100E-IR and so on) with IResNet's names."""

import re
from collections.abc import Mapping

import numpy as np

from utils.errors import UserError

SIGNATURE = ("conv0_weight", "stage1_unit1_bn1_gamma", "pre_fc1_weight", "fc1_moving_mean")
_PARTS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_var": "running_var",
    "weight": "weight",
    "bias": "bias",
}
_LAYERS = {"conv0": "conv1", "bn0": "bn1", "relu0": "prelu", "bn1": "bn2", "pre_fc1": "fc", "fc1": "features"}
_BLOCK = {
    "bn1": "bn1",
    "conv1": "conv1",
    "bn2": "bn2",
    "relu1": "prelu",
    "conv2": "conv2",
    "bn3": "bn3",
    "conv1sc": "downsample.0",
    "sc": "downsample.1",
}
_NAME = re.compile(r"(?:stage(\d+)_unit(\d+)_)?(\w+?)_(gamma|beta|moving_mean|moving_var|weight|bias)")


def from_mxnet(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors with IResNet's names. Raises UserError if others are among them, such as of squeeze-and-excitation.

    The scale of the last BatchNorm is fixed to 1 in the symbol (`fix_gamma`), whatever the file holds.
    """
    state, unknown = {}, []
    for name, array in tensors.items():
        match = _NAME.fullmatch(name)
        layer = (_BLOCK if match[1] else _LAYERS).get(match[3]) if match else None
        if match is None or layer is None:
            unknown.append(name)
        elif match[1]:
            state[f"layer{match[1]}.{int(match[2]) - 1}.{layer}.{_PARTS[match[4]]}"] = array
        else:
            state[f"{layer}.{_PARTS[match[4]]}"] = array
    if unknown:
        raise UserError(
            f"{', '.join(unknown[:3])} {'has' if len(unknown) == 1 else 'have'} no place in an IResNet with output E "
            "and units 3 (squeeze-and-excitation is not among the networks here)"
        )
    return {**state, "features.weight": np.ones_like(state["features.running_mean"])}
