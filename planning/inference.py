"""What an exported network takes in ONNX Runtime: time for one face, and the size of its file."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import oneflow as flow
import onnx
from oneflow import nn

from backbones import get_model
from deploy.images import drawn_faces
from deploy.input_format import own_format
from deploy.onnx_convert import to_onnx
from deploy.onnx_embedder import OnnxEmbedder
from deploy.onnx_quantize import to_fp16, to_int8
from utils.pixels import USUAL_SHAPE

_LEAST_RUNS = 5  # that a time is the median of
_CALIBRATION = 8  # drawn faces: what the scales are changes no time
_FORMS: dict[str, Callable[[onnx.ModelProto, np.ndarray], onnx.ModelProto]] = {
    "fp32": lambda model, _: model,
    "fp16": lambda model, _: to_fp16(model),
    "int8": to_int8,
}
PRECISIONS = tuple(_FORMS)


@dataclass(frozen=True)
class Times:
    """Medians for one face, from bytes to its embedding, in milliseconds: as the clock says, and of the processor."""

    wall_ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Speed:
    """Of a network, which may have options, in a precision: the bytes of its file, and the milliseconds of one face by
    the number of threads, as the clock says and of the processor.

    in_float32: an int8 model that this CPU's integer kernels compute wrongly, so that it ran in float32.
    """

    network: str
    precision: str
    onnx_bytes: int
    ms: dict[int, float]
    cpu_ms: dict[int, float]
    in_float32: bool


def time_face(embed: OnnxEmbedder, seconds: float = 1.0) -> Times:
    """Calls `embed` for so long, five times or more."""
    face = drawn_faces(1)
    embed(face)
    times: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(times) < _LEAST_RUNS or time.perf_counter() - began < seconds:
        start = time.perf_counter(), time.process_time()
        embed(face)
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return Times(*(1e3 * np.median(times, axis=0)).tolist())


def measure_inference(
    network: str, embedding_size: int, precisions: Sequence[str], threads: Sequence[int], seconds: float = 1.0
) -> Iterator[Speed]:
    """The speed of `network`, of random weights, in each of `precisions`. Raises UserError if there is no such network,
    or it cannot be exported.
    """
    faces = drawn_faces(_CALIBRATION)
    pixels = own_format(USUAL_SHAPE).apply(faces)
    module = get_model(network, embedding_size)
    learn_statistics(module, pixels)
    content = to_onnx(module.eval()).SerializeToString()
    del module
    for precision in precisions:
        form = _FORMS[precision](onnx.load_from_string(content), pixels).SerializeToString()
        times: dict[int, Times] = {}
        in_float32 = False
        for number in threads:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of integer kernels, which `in_float32` tells
                embed = OnnxEmbedder(form, threads=number)
            times[number], in_float32 = time_face(embed, seconds), in_float32 or embed.in_float32
        ms, cpu_ms = ({n: getattr(each, kind) for n, each in times.items()} for kind in ("wall_ms", "cpu_ms"))
        yield Speed(network, precision, len(form), ms, cpu_ms, in_float32)


def learn_statistics(network: nn.Module, pixels: np.ndarray) -> None:
    """Has the BatchNorms of `network` take their statistics from `pixels` (N, C, H, W): with those of 0 and 1, the
    numbers of deep networks of random weights explode. The last one keeps its own: over few faces, a variance of the
    embeddings would only blow up what rounding leaves. Leaves the network in training mode.
    """
    norms = [part for part in network.modules() if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for norm in norms[:-1]:
        norm.momentum = 1.0
    with flow.no_grad():
        network.train()(flow.tensor(pixels))
