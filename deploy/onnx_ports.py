"""Where faces go into an ONNX model and where its embeddings come out, made here or elsewhere.

The pixels' format is, in this order: an option's; the metadata's `input`, in the grammar of deploy/input_format.py; the
metadata's `normalization`, which our older exports have; pixels as they are, if the model takes integers, or if
arithmetic with constants is the first it does; else (x - 127.5) / 127.5, which InsightFace's models take. The layout is
the shape's wherever the shape says it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnxruntime

from deploy.input_format import InputFormat, parse_input
from deploy.onnx_graph import first_arithmetic
from utils.errors import UserError

NORMALIZATION, _OLD_NORMALIZATION = "normalization", "normalisation"  # the metadata's key; that of older exports
EMBEDDED, OUTSIDE = "embedded", "(x - 127.5) / 127.5"
INPUT, OUTPUT = "input", "output"  # the metadata's keys
BYTES = "x"  # pixels as they are
ASSUMED = "assumed"
_SMALLEST = 16  # pixels of a side; fewer are channels or something else
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True)
class ImagePort:
    """name and dtype: of the input; batch: the only one it takes, or None.

    source: where the format is from: "option", "metadata", "first steps" or ASSUMED.
    """

    name: str
    format: InputFormat
    source: str
    dtype: type[np.generic]
    batch: int | None


def image_input(
    session: onnxruntime.InferenceSession, graph: onnx.GraphProto, metadata: dict, option: str | None, model: str
) -> ImagePort:
    """The model's one input. Raises UserError, which says why, if faces do not fit in."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise UserError(f"{model} has {len(inputs)} inputs, {', '.join(each.name for each in inputs)}; faces are one")
    (only,) = inputs
    if only.type not in _TYPES:
        raise UserError(f"{model} takes {only.type} as {only.name}, but pixels are {', '.join(_TYPES)}")
    shape = [size if isinstance(size, int) and size > 0 else None for size in only.shape]
    dtype = _TYPES[only.type]
    pixels, source = _format(graph, only.name, dtype, metadata, option)
    readings = {reading.layout: reading for reading in _readings(pixels, shape)}
    if not readings:
        raise UserError(f"{model} takes {only.shape} as {only.name}, not faces (batch, 3, 112, 112) or NHWC")
    if pixels.layout not in readings and pixels.layout in (option or metadata.get(INPUT, "")):
        raise UserError(f"{model} takes {only.shape} as {only.name}, which is not {pixels.layout}")
    pixels = readings.get(pixels.layout) or next(iter(readings.values()))
    return ImagePort(only.name, pixels, source, dtype, shape[0])


def embedding_output(session: onnxruntime.InferenceSession, metadata: dict, option: str | None, model: str) -> str:
    """The name of the output that is the embedding. Raises UserError if there are several and none is named."""
    outputs = session.get_outputs()
    names, wanted = [each.name for each in outputs], option or metadata.get(OUTPUT)
    listed = ", ".join(f"{each.name} {each.shape}" for each in outputs)
    if wanted and wanted not in names:
        raise UserError(f"{model} has no output {wanted!r}; it has {listed}")
    if not wanted and len(names) > 1:
        raise UserError(f"{model} has several outputs, {listed}; say which is the embedding with --onnx_output")
    return wanted or names[0]


def _readings(pixels: InputFormat, shape: list[int | None]) -> Iterator[InputFormat]:
    """The format in each layout that a model's shape allows, with the size and the channels that it states."""
    if len(shape) != 4:
        return
    _, *sides = shape
    for layout, (channels, height, width) in (("NCHW", sides), ("NHWC", sides[-1:] + sides[:2])):
        if channels in (None, 1, 3) and all(side is None or side >= _SMALLEST for side in (height, width)):
            color = "gray" if channels == 1 else pixels.color
            yield replace(pixels, layout=layout, color=color, size=(height or pixels.size[0], width or pixels.size[1]))


def _format(
    graph: onnx.GraphProto, name: str, dtype: type, metadata: dict, option: str | None
) -> tuple[InputFormat, str]:
    stated = metadata.get(INPUT) or metadata.get(NORMALIZATION) or metadata.get(_OLD_NORMALIZATION)
    if option:  # what it leaves out is the metadata's, if they are ours
        return parse_input(option, parse_input(metadata.get(INPUT, BYTES if dtype is np.uint8 else OUTSIDE))), "option"
    if stated:
        return parse_input(BYTES if stated == EMBEDDED else stated), "metadata"
    if dtype is np.uint8 or first_arithmetic(graph, name):
        return parse_input(BYTES), "first steps"
    return parse_input(OUTSIDE), ASSUMED
