"""A trained backbone to an ONNX file that has been checked against it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from deploy.embedder import Embedder
from deploy.input_format import InputFormat, own_format
from deploy.onnx_check import Difference, compare, worst
from deploy.onnx_convert import INPUT, to_onnx
from deploy.onnx_embedder import OnnxEmbedder
from deploy.onnx_ports import BYTES, EMBEDDED, NORMALIZATION, OUTSIDE
from deploy.onnx_ports import INPUT as INPUT_KEY
from deploy.onnx_quantize import to_fp16, to_int8
from utils.errors import UserError
from utils.files import make_folder, new_file

LEAST_COSINE = {"fp32": 0.9999, "fp16": 0.999, "int8": 0.98}  # to OneFlow's embedding, by precision


@dataclass(frozen=True)
class ExportOptions:
    """precision: a key of LEAST_COSINE; calibration: (N, H, W, 3) uint8 RGB, of int8 only.

    embed_normalization: the model takes pixels in 0 ... 255 and normalizes them itself.
    """

    precision: str = "fp32"
    opset: int = 11
    embed_normalization: bool = False
    calibration: np.ndarray | None = None


def export_onnx(
    embedder: Embedder, path: Path, images: np.ndarray, options: ExportOptions, about: Mapping[str, str]
) -> list[Difference]:
    """Writes `path` whole or not at all; returns its differences from `embedder`, which is on the CPU.

    images: (deploy.onnx_check.IMAGES, H, W, 3) uint8 RGB, to compare on; about: goes into the file's metadata.
    Raises UserError where the model cannot be converted or written, or differs more than LEAST_COSINE allows.
    """
    model = to_onnx(embedder.network, options.opset, embedder.input.shape)
    if options.precision == "fp16":
        model = to_fp16(model)
    elif options.precision == "int8":
        assert options.calibration is not None, "int8 is calibrated on images"
        model = to_int8(model, embedder.input.apply(options.calibration))
    pixels = embedder.input
    normalization = OUTSIDE if pixels.is_pixels(own_format(pixels.shape)) else pixels.expression
    if options.embed_normalization:
        _embed_normalization(model, pixels)
        normalization, pixels = EMBEDDED, replace(pixels, expression=BYTES)
    properties = {**about, NORMALIZATION: normalization, INPUT_KEY: str(pixels), "precision": options.precision}
    onnx.helper.set_model_props(model, properties)
    onnx.checker.check_model(model)

    try:
        make_folder(path.parent)
        with new_file(path) as unfinished:
            unfinished.write_bytes(model.SerializeToString())
            del model
            differences = compare(OnnxEmbedder(unfinished), embedder, images)
            _judge(differences, options.precision)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return differences


def _judge(differences: list[Difference], precision: str) -> None:
    least, difference = LEAST_COSINE[precision], worst(differences)
    if not difference.cosine >= least:  # a NaN is refused too
        hint = "; calibrate on more and better images, or take --fp16" if precision == "int8" else ""
        raise UserError(
            f"the {precision} model is not written, for its embeddings are not OneFlow's: {difference}, and a cosine "
            f"of at least {least} is asked for{hint}"
        )


def _embed_normalization(model: onnx.ModelProto, pixels: InputFormat) -> None:
    """Puts (x - mean) / std before everything, in float32 whatever follows.

    The two nodes' names are those by which the insightface package knows that it must not normalize.
    """
    graph = model.graph
    for node in graph.node:
        for place, value in enumerate(node.input):
            if value == INPUT:
                node.input[place] = "normalized"
    mean, std = (numbers.reshape(-1, 1, 1) if len(numbers) > 1 else numbers[0] for numbers in pixels.mean_and_std)
    numbers = {"mean": mean, "scale": 1 / std}
    initial = {name: np.asarray(number, np.float32) for name, number in numbers.items()}
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in initial.items())
    graph.node.insert(0, onnx.helper.make_node("Mul", ["centered", "scale"], ["normalized"], "Mul_0"))
    graph.node.insert(0, onnx.helper.make_node("Sub", [INPUT, "mean"], ["centered"], "Sub_0"))
