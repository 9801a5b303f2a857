"""A network that takes other pixels than ours, changed to take ours: by its first convolution."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from deploy.input_format import OWN, InputFormat
from utils.errors import UserError

_NO_OFFSET = 1e-5  # of normalized pixels: 1/800 of a step of 8 bits


@dataclass(frozen=True)
class Adapted:
    """state: the weights; input: what they take now; said: what was done, for a person."""

    state: dict[str, np.ndarray]
    input: InputFormat
    said: list[str]


def take_our_pixels(state: Mapping[str, np.ndarray], theirs: InputFormat, fold_offset: bool = False) -> Adapted:
    """The weights, in the network's order, so changed that they take RGB and, if it can be, our normalization.

    Color and scale go into the first convolution exactly. An offset does not, if the convolution pads its input: their
    zeros at the border are another gray than ours. So it stays in `input`; with `fold_offset` it goes into the
    BatchNorm that follows, and only outputs that see the border differ.
    """
    conv = next((name for name, array in state.items() if array.ndim == 4 and array.shape[1] == 3), None)
    if conv is None:
        raise UserError("there is no convolution on three channels, which could take our pixels")
    changed, said = dict(state), []
    (scale, shift), (our_scale, our_shift) = theirs.affine, OWN.affine
    if theirs.color == "BGR":
        changed[conv] = np.ascontiguousarray(changed[conv][:, ::-1])
        scale, shift = scale[::-1], shift[::-1]
        said.append(f"{conv}: input channels turned from BGR to RGB")
    gain = scale / our_scale  # theirs = gain * ours + offset
    offset = shift - gain * our_shift
    if np.abs(offset).max() > _NO_OFFSET and not fold_offset:
        return Adapted(changed, replace(theirs, color="RGB", layout="NCHW", expression=linear(scale, shift)), said)
    weight = changed[conv].astype(np.float64)
    if np.abs(gain - 1).max() > 1e-7:
        said.append(f"{conv}: scaled by {_numbers(gain)}, for {theirs.expression}")
    changed[conv] = (weight * gain.reshape(1, -1, 1, 1)).astype(np.float32)
    if np.abs(offset).max() > _NO_OFFSET:
        constant = (weight.sum((2, 3)) * np.broadcast_to(offset, 3)).sum(1)  # which a pixel inside sees more
        name = _shift_output(changed, conv, constant)
        said.append(f"{name}: shifted by the offset of {theirs.expression}; inexact at the border")
    return Adapted(changed, OWN, said)


def _shift_output(state: dict[str, np.ndarray], conv: str, constant: np.ndarray) -> str:
    """Adds `constant` to what the convolution gives; the name of what was changed."""
    bias = conv.removesuffix("weight") + "bias"
    names = list(state)
    after = [each for each in names[names.index(conv) :] if each.endswith(".running_mean")]
    if bias in state:
        state[bias] = (state[bias] + constant).astype(np.float32)
        return bias
    if not after or state[after[0]].shape != constant.shape:
        raise UserError(f"no BatchNorm follows {conv}, which could take an offset of its input")
    state[after[0]] = (state[after[0]] - constant).astype(np.float32)
    return after[0]


def linear(scale: np.ndarray, shift: np.ndarray) -> str:
    """The expression `scale * x + shift` as (x - mean) / std, such as `x / 255`."""
    mean, std = -shift / scale + 0.0, 1 / scale
    return f"(x - {_numbers(mean)}) / {_numbers(std)}" if np.any(mean) else f"x / {_numbers(std)}"


def _numbers(array: np.ndarray) -> str:
    """One number if all are the same, else a list."""
    numbers = [f"{number:.9g}" for number in array]
    return numbers[0] if len(set(numbers)) == 1 else f"[{', '.join(numbers)}]"
