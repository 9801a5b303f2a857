"""Smaller and faster forms of an exported model."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxconverter_common.float16 import convert_float_to_float16
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from deploy.onnx_convert import INPUT
from utils.pixels import normalized

_CALIBRATION_BATCH = 8


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and arithmetic in half precision, half the size; input and output stay float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it names every weight below 1e-7, which changes nothing
        return convert_float_to_float16(model, keep_io_types=True)


def to_int8(model: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Static quantization, a quarter of the size: scales are found once, on images (N, 112, 112, 3) uint8 RGB.

    So an embedding does not depend on what else is in its batch, as it does with dynamic quantization. Weights are
    unsigned as activations are: with signed ones, CPUs without VNNI saturate their sums of products, silently.
    """
    unsigned = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8}
    with TemporaryDirectory() as folder, _quiet():
        floats, integers = Path(folder, "fp32.onnx"), Path(folder, "int8.onnx")
        onnx.save(model, floats)
        quantize_static(floats, integers, _Images(images), QuantFormat.QDQ, **unsigned)
        return onnx.load(integers)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantizer advises, on the root logger, a preparation that only other kinds of network need."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


class _Images(CalibrationDataReader):
    """Batches as the model without embedded normalization takes them."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches = self._normalized(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)

    @staticmethod
    def _normalized(images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(images), _CALIBRATION_BATCH):
            yield {INPUT: normalized(images[start : start + _CALIBRATION_BATCH])}
