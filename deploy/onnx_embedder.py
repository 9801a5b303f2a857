"""An exported model in use: faces in, embeddings out, in ONNX Runtime on the CPU."""

import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from utils.errors import UserError

NORMALIZATION, _OLD_NORMALIZATION = "normalization", "normalisation"  # the metadata's key; that of older exports
EMBEDDED, OUTSIDE = "embedded", "(x - 127.5) / 127.5"


_ROUNDING = 0.2  # of an integer model's output, the most that two ways of computing it may differ by; 0.6 was seen
_FLOAT = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # without kernels of integers: float32 between the steps


class OnnxEmbedder:
    """An ONNX model of one input, (batch, 3, 112, 112) float32 RGB, and one output, the embedding.

    Pixels are given to it as they are where its metadata say `normalization: embedded`, else as (x - 127.5) / 127.5.
    Called with images (N, 112, 112, 3) uint8 RGB it returns embeddings (N, E) float32, not normalized.
    """

    backend = "onnx"
    batch_size = 16  # larger ones are no quicker on a CPU

    def __init__(self, model: Path | bytes, threads: int | None = None) -> None:
        """model: a file, or what would be in it; threads: of ONNX Runtime, by default one for each core we may use.

        Raises UserError where the file is missing, or is no such model.
        """
        if isinstance(model, Path) and not model.is_file():
            raise UserError(f"there is no model at {model}; export one first, or say where it is with --model_path")
        name = model if isinstance(model, Path) else "the model"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; those below tell of its own optimizations
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        content = str(model) if isinstance(model, Path) else model
        try:
            self._session = _right_session(content, options)
        except Exception as error:  # ONNX Runtime's have no common class of their own
            raise UserError(f"{name} is not an ONNX model that can be run: {str(error).splitlines()[0]}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = list(inputs[0].shape)
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type != "tensor(float)" or shape[1:] != [3, 112, 112]:
            raise UserError(f"{name} does not take faces (batch, 3, 112, 112) float32 and give one embedding")
        self._input = inputs[0].name
        self._only_batch = shape[0] if isinstance(shape[0], int) else None  # that the model was made for
        self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
        # Some models do not tell the length of their output.
        self.embedding_size = self(np.zeros((1, 112, 112, 3), np.uint8)).shape[1]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
        if not _takes_bytes(self.metadata):
            pixels -= 127.5
            pixels /= 127.5
        if self._only_batch is None:
            return self._run(pixels)
        missing = -len(pixels) % self._only_batch
        filled = np.concatenate([pixels, np.zeros((missing, *pixels.shape[1:]), np.float32)])
        batches = filled.reshape(-1, self._only_batch, *pixels.shape[1:])
        return np.concatenate([self._run(batch) for batch in batches])[: len(pixels)]

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._input: pixels})[0]


def _right_session(content: str | bytes, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """A session that computes what the model says.

    On some CPUs (seen on virtual ones with AMX) ONNX Runtime's integer kernels are plainly wrong. A model that has such
    steps is tried both ways on an image of random blocks, and if they disagree it runs in float32, with a warning.
    """
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(content, options, providers=providers)
    model = onnx.load(content) if isinstance(content, str) else onnx.load_from_string(content)
    shape = session.get_inputs()[0].shape
    if all(node.op_type != "QuantizeLinear" for node in model.graph.node) or shape[1:] != [3, 112, 112]:
        return session
    options.graph_optimization_level = _FLOAT
    exact = onnxruntime.InferenceSession(content, options, providers=providers)
    batch = shape[0] if isinstance(shape[0], int) else 1
    blocks = np.random.default_rng(0).uniform(-1, 1, (batch, 3, 7, 7)).repeat(16, axis=2).repeat(16, axis=3)
    if _takes_bytes(session.get_modelmeta().custom_metadata_map):
        blocks = blocks * 127.5 + 127.5
    inputs = {session.get_inputs()[0].name: blocks.astype(np.float32)}
    integer, wanted = (each.run(None, inputs)[0] for each in (session, exact))
    if np.linalg.norm(integer - wanted) <= _ROUNDING * np.linalg.norm(wanted):
        return session
    warnings.warn(
        "ONNX Runtime's integer kernels are wrong on this CPU; the model runs in float32 here, more slowly",
        stacklevel=3,
    )
    return exact


def _takes_bytes(metadata: dict[str, str]) -> bool:
    """Whether a model takes pixels as they are, 0 to 255."""
    return EMBEDDED in (metadata.get(NORMALIZATION), metadata.get(_OLD_NORMALIZATION))
