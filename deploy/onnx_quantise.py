"""Smaller and faster forms of an exported model."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxconverter_common.float16 import convert_float_to_float16
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from deploy.onnx_convert import INPUT

_CALIBRATION_BATCH = 8


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and arithmetic in half precision, half the size; input and output stay float32."""
    return convert_float_to_float16(model, keep_io_types=True)


def to_int8(model: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Static quantisation, a quarter of the size: scales are found once, on images (N, 112, 112, 3) uint8 RGB.

    So an embedding does not depend on what else is in its batch, as it does with dynamic quantisation.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            model, path, _Images(images), QuantFormat.QDQ,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(path)


class _Images(CalibrationDataReader):
    """Batches as the model without embedded normalisation takes them."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches = self._normalised(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)

    @staticmethod
    def _normalised(images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(images), _CALIBRATION_BATCH):
            pixels = images[start : start + _CALIBRATION_BATCH].transpose(0, 3, 1, 2)
            yield {INPUT: ((pixels - np.float32(127.5)) / np.float32(127.5))}
