"""The layers of an ONNX model given, in order, to those of a network here."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from oneflow import nn

from deploy.importing.identity import batch_norm
from deploy.importing.onnx_layers import CONV, LINEAR, NORM, PRELU, Layer
from deploy.importing.skeleton import candidates, skeleton
from utils.errors import UserError

_KINDS = {nn.Conv2d: CONV, nn.Linear: LINEAR, nn.BatchNorm2d: NORM, nn.BatchNorm1d: NORM, nn.PReLU: PRELU}
_WEIGHTS = (CONV, LINEAR)
_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def network_of(layers: Sequence[Layer], network: str | None = None) -> tuple[str, int]:
    """(the network whose convolutions and linear layers have these shapes, its embedding size).

    network: the only one it may be. Raises UserError if it is none, saying from where on the nearest differs.
    """
    there = [layer.weight.shape for layer in layers if layer.kind in _WEIGHTS]
    size = there[-1][0] if there else 0
    nearest, most = "", -1
    for name in candidates(network):
        wanted = [shape for _, kind, shape, _ in _leaves(name, size or 512) if kind in _WEIGHTS]
        if wanted and wanted == there:
            return name, size
        alike = next((i for i, (a, b) in enumerate(zip(wanted, there, strict=False)) if a != b), len(there))
        if alike > most and wanted:
            nearest, most = f"{name}, up to layer {alike} of its {len(wanted)}", alike
    raise UserError(
        f"its {len(there)} convolutions and linear layers are those of none of the networks that are known by order; "
        f"the nearest is {nearest or 'none'}"
    )


def from_layers(layers: Sequence[Layer], network: str, size: int) -> tuple[dict[str, np.ndarray], list[str]]:
    """(weights with our names, names of the BatchNorms that were folded there and are made up).

    Raises UserError naming a layer that is not there.
    """
    state: dict[str, np.ndarray] = {}
    folded: list[str] = []
    left = list(layers)
    before, pending = "", None  # the kind of the last layer; its bias, if it has none here
    for name, kind, shape, has_bias in _leaves(network, size):
        follows = before in _WEIGHTS
        next_kind = left[0].kind if left else "nothing"
        if kind == NORM and follows and not (next_kind == NORM and left[0].attached):
            state |= batch_norm(name, shape[0], 0.0 if pending is None else pending)
            folded.append(name)
            before, pending = kind, None
            continue
        if next_kind != kind or (kind != NORM and pending is not None):
            raise UserError(f"{name} of {network} is a {kind}, but there {next_kind} follows")
        layer = left.pop(0)
        if kind == NORM:
            gamma, beta, mean, variance = layer.norm
            mean = mean if pending is None else mean - pending
            state |= {f"{name}.{part}": a for part, a in zip(_NORM_PARTS, (gamma, beta, mean, variance), strict=True)}
        else:
            state[f"{name}.weight"] = layer.weight
        if has_bias and kind in _WEIGHTS:
            state[f"{name}.bias"] = np.zeros(shape[0], np.float32) if layer.bias is None else layer.bias
        before, pending = kind, None if has_bias else layer.bias
    if left:
        raise UserError(f"a {left[0].kind} is left over after {network}")
    return state, folded


@cache
def _leaves(network: str, size: int) -> tuple[tuple[str, str, tuple[int, ...], bool], ...]:
    """(name, kind, shape of the weight, whether it has a bias) of the layers; none if one is of another kind."""
    leaves = []
    for name, module in skeleton(network, size).named_modules():
        own = [parameter for parameter in module._parameters.values() if parameter is not None]
        if own and type(module) not in _KINDS:
            return ()
        if own:
            has_bias = getattr(module, "bias", None) is not None
            leaves.append((name, _KINDS[type(module)], tuple(module.weight.shape), has_bias))
    return tuple(leaves)
