"""ONNX Runtime for detectors: pictures of any size, on the CPU."""

import os

import numpy as np
import onnx
import onnxruntime

from utils.errors import UserError
from utils.reading.faults import shown


class DetectorSession:
    """A model of one picture, (1, 3, H, W) float32, and some maps.

    `fixed` is (height, width) if the model says which it takes, else None. Raises whatever ONNX Runtime raises.
    """

    def __init__(self, model: onnx.ModelProto, threads: int | None = None) -> None:
        """threads: default one for each core we may use."""
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; it warns of weights that are listed as inputs
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        (picture,) = self._session.get_inputs()
        self._input = picture.name
        sides = tuple(picture.shape[2:])
        self.fixed = sides if all(isinstance(side, int) for side in sides) else None

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        try:
            return self._session.run(None, {self._input: pixels})
        except Exception as error:  # ONNX Runtime's have no common class of their own
            raise UserError(f"the detector fails on a picture of {pixels.shape[2:]} pixels: {shown(error)}") from None


def free_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, a fully convolutional one, without the sizes it was exported for."""
    names = {tensor.name for tensor in model.graph.initializer}
    for value in [value for value in model.graph.input if value.name not in names] + list(model.graph.output):
        sides = value.type.tensor_type.shape.dim
        for number in (0, 2, 3):
            sides[number].dim_param = f"{value.name}.{number}"
    return model
