"""IR-18 to IR-200 of face.evoLVe, as CurricularFace, TFace and AdaFace train them, with IResNet's names.

input_layer, body.N.res_layer, body.N.shortcut_layer, output_layer. They are IResNets but for three things that can be
said in IResNet's layers: if the channels stay, a block's shortcut is a max-pooling of one pixel, which is a strided
convolution with the identity; face.evoLVe's and CurricularFace's blocks have no BatchNorm between the first convolution
and PReLU; and the last BatchNorm has no scale and shift.
"""

import re
from collections.abc import Mapping

import numpy as np

from deploy.importing.identity import batch_norm, subsampling
from utils.errors import UserError

SIGNATURE = ("input_layer.0.weight", "body.0.res_layer.0.weight", "output_layer.3.weight")
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_ENDS = {
    "input_layer.0": "conv1",
    "input_layer.1": "bn1",
    "input_layer.2": "prelu",
    "output_layer.0": "bn2",
    "output_layer.3": "fc",
    "output_layer.4": "features",
}
_BLOCK = {
    True: ("bn1", "conv1", "bn2", "prelu", "conv2", "bn3"),
    False: ("bn1", "conv1", "prelu", "conv2", "bn3"),
}  # whether there is a BatchNorm between convolution and PReLU: the layers of res_layer
_SHORTCUT = ("downsample.0", "downsample.1")
_NUMBERED = re.compile(r"body\.(\d+)\.(res_layer|shortcut_layer)\.(\d+)\.(.+)")


def has_middle_norm(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether blocks have a BatchNorm between the first convolution and PReLU, as TFace's and AdaFace's have."""
    return "body.0.res_layer.2.running_mean" in tensors


def from_ir(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """(tensors with IResNet's names, names of the BatchNorms that were made up).

    Raises UserError if the blocks are not those of two 3x3 convolutions: bottlenecks, or with squeeze-and-excitation.
    """
    middle = has_middle_norm(tensors)
    layers, places = _BLOCK[middle], _places(tensors)
    state, unknown = {}, []
    for name, array in tensors.items():
        end, _, part = name.rpartition(".")
        match = _NUMBERED.fullmatch(name)
        if end in _ENDS:
            state[f"{_ENDS[end]}.{part}"] = array
        elif (
            match
            and match[4] in _NORM
            and int(match[3]) < len(names := layers if match[2] == "res_layer" else _SHORTCUT)
        ):
            state[f"{places[int(match[1])]}.{names[int(match[3])]}.{match[4]}"] = array
        else:
            unknown.append(name)
    if unknown:
        raise UserError(
            f"{', '.join(unknown[:3])} {'has' if len(unknown) == 1 else 'have'} no place in IResNet's blocks "
            "of two 3x3 convolutions (squeeze-and-excitation and bottlenecks are not among the networks here)"
        )
    made = _complete(state, list(places.values()), middle)
    return {**state, **made}, [name.removesuffix(".running_var") for name in made if name.endswith(".running_var")]


def _places(tensors: Mapping[str, np.ndarray]) -> dict[int, str]:
    """`layer2.0` for body.3 and so on: a stage begins with more channels than the one before."""
    numbers = sorted({int(match[1]) for name in tensors if (match := _NUMBERED.fullmatch(name))})
    places, stage, inside, before = {}, 0, 0, None
    for number in numbers:
        weights = [tensors.get(f"body.{number}.res_layer.{place}.weight") for place in (4, 3)]
        width = next((len(weight) for weight in weights if weight is not None and weight.ndim == 4), before)
        stage, inside = (stage, inside + 1) if width == before else (stage + 1, 0)
        places[number], before = f"layer{stage}.{inside}", width
    return places


def _complete(state: Mapping[str, np.ndarray], blocks: list[str], middle: bool) -> dict[str, np.ndarray]:
    """What IResNet has besides."""
    made: dict[str, np.ndarray] = {}
    for block in blocks:
        channels = len(state.get(f"{block}.conv1.weight", ()))
        if not middle:
            made |= batch_norm(f"{block}.bn2", channels)
        if block.endswith(".0") and f"{block}.downsample.0.weight" not in state:
            made[f"{block}.downsample.0.weight"] = subsampling(channels)
            made |= batch_norm(f"{block}.downsample.1", channels)
    if "features.running_mean" in state and "features.weight" not in state:
        size = len(state["features.running_mean"])
        made |= {"features.weight": np.ones(size, np.float32), "features.bias": np.zeros(size, np.float32)}
    return made
