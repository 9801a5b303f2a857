"""An exported model in use: faces in, embeddings out, in ONNX Runtime on the CPU."""

from pathlib import Path

import numpy as np
import onnxruntime

from utils.errors import UserError

NORMALISATION = "normalisation"  # the metadata's key
EMBEDDED, OUTSIDE = "embedded", "(x - 127.5) / 127.5"


class OnnxEmbedder:
    """An ONNX model of one input, (batch, 3, 112, 112) float32 RGB, and one output, the embedding.

    Pixels are given to it as they are where its metadata say `normalisation: embedded`, else as (x - 127.5) / 127.5.
    Called with images (N, 112, 112, 3) uint8 RGB it returns embeddings (N, E) float32, not normalised.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError where `path` is missing, or is no such model."""
        if not path.is_file():
            raise UserError(f"there is no model at {path}; export one first, or say where it is with --model_path")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; those below tell of its own optimisations
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's have no common class of their own
            raise UserError(f"{path} is not an ONNX model that can be run: {str(error).splitlines()[0]}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = list(inputs[0].shape)
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(float)" or shape[1:] != [3, 112, 112]:
            raise UserError(f"{path} does not take faces (batch, 3, 112, 112) float32 and give one embedding")
        self._input = inputs[0].name
        self.embedding_size = outputs[0].shape[-1]
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        if self.metadata.get(NORMALISATION) != EMBEDDED:
            pixels = (pixels - 127.5) / 127.5
        return self._session.run(None, {self._input: pixels})[0]
