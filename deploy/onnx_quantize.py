"""Smaller and faster forms of an exported model."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import version_converter
from onnxconverter_common.float16 import convert_float_to_float16
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from deploy.onnx_convert import INPUT

_CALIBRATION_BATCH = 8
INT8_OPSET, _IR_VERSION = 13, 7  # of ONNX 1.8


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and arithmetic in half precision, half the size; input and output stay float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names every weight below 1e-7, which changes nothing
        return convert_float_to_float16(model, keep_io_types=True)


def to_int8(model: onnx.ModelProto, pixels: np.ndarray) -> onnx.ModelProto:
    """Static quantization, a quarter of the size: scales are found once, on pixels (N, C, H, W) float32.

    So an embedding does not depend on what else is in its batch, as it does with dynamic quantization. Weights have a
    scale for each output channel: a BatchNorm that was folded into them leaves channels of very different size, above
    all in depthwise convolutions. Opset 13 is the first that can say so. Weights are unsigned as activations are: with
    signed ones, CPUs without VNNI saturate their sums of products, silently. They are symmetric because ONNX Runtime
    has integer kernels for channels of one zero point alone.
    """
    unsigned = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8}
    by_channel = {"per_channel": True, "extra_options": {"WeightSymmetric": True}}
    model = version_converter.convert_version(model, INT8_OPSET)
    with TemporaryDirectory() as folder, _quiet():
        floats, integers = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, floats)
        quantize_static(floats, integers, _Pixels(pixels), QuantFormat.QDQ, **unsigned, **by_channel)
        model = onnx.load(integers)
    model.ir_version = _IR_VERSION
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer advises, on the root logger, a preparation that only other kinds of network need."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class _Pixels(CalibrationDataReader):
    """Batches of what the model takes."""

    def __init__(self, pixels: np.ndarray) -> None:
        starts = range(0, len(pixels), _CALIBRATION_BATCH)
        self._batches = iter([pixels[start : start + _CALIBRATION_BATCH] for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}
