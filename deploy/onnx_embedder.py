"""An ONNX model in use: faces in, embeddings out, in ONNX Runtime on the CPU."""

import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from deploy.onnx_options import NOTHING_SAID, OnnxOptions
from deploy.onnx_ports import embedding_output, image_input
from utils.errors import UserError, UserWarned
from utils.reading.faults import broken_file, shown

_ROUNDING = 0.2  # of an integer model's output, the most that two ways of computing it may differ by; 0.6 was seen
_TRIED = 4  # images, as many times, to see whether two ways of computing it agree
_FLOAT = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # without kernels of integers: float32 between the steps
_PROVIDERS = ["CPUExecutionProvider"]


class OnnxEmbedder:
    """An ONNX model of one input, faces of any one size, and an output that is the embedding.

    What its pixels are is in `input` and where that is from in `input_from` (deploy/onnx_ports.py says how it is
    known). Called with images (N, H, W, 3) uint8 RGB it returns embeddings (N, E) float32, not normalized.
    """

    backend = "onnx"
    batch_size = 16  # larger ones are no quicker on a CPU

    def __init__(self, model: Path | bytes, threads: int | None = None, options: OnnxOptions = NOTHING_SAID) -> None:
        """model: a file, or what would be in it; threads: of ONNX Runtime, by default one for each core we may use.

        Raises UserError if the file is missing, or is no such model.
        """
        if isinstance(model, Path) and not model.is_file():
            raise UserError(f"there is no model at {model}; export one first, or say where it is with --model")
        self._name = str(model) if isinstance(model, Path) else "the model"
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3  # errors; those below tell of its own optimizations
        settings.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        content = str(model) if isinstance(model, Path) else model
        try:
            with broken_file(self._name, "is not an ONNX model that can be run"):
                self._session = onnxruntime.InferenceSession(content, settings, providers=_PROVIDERS)
                graph = (onnx.load(content) if isinstance(content, str) else onnx.load_from_string(content)).graph
                self.metadata = dict(self._session.get_modelmeta().custom_metadata_map)
                port = image_input(self._session, graph, self.metadata, options.input, self._name)
                self.output = embedding_output(self._session, self.metadata, options.output, self._name)
        except FileNotFoundError as error:
            raise UserError(f"{self._name} has weights in other files, and {error.filename} is missing") from None
        self.input_name, self.input, self.input_from, self._dtype = port.name, port.format, port.source, port.dtype
        self._only_batch = port.batch or self._found_batch()
        self.in_float32 = False
        if any(node.op_type == "QuantizeLinear" for node in graph.node):
            self._session = self._right_session(content, settings)
        # Some models do not tell the length of their output.
        self.embedding_size = self(np.zeros((1, 112, 112, 3), np.uint8)).shape[1]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        if self._only_batch is None:
            return self._run(self._session, images)
        missing = -len(images) % self._only_batch
        filled = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.uint8)])
        batches = filled.reshape(-1, self._only_batch, *images.shape[1:])
        return np.concatenate([self._run(self._session, batch) for batch in batches])[: len(images)]

    def _run(self, session: onnxruntime.InferenceSession, images: np.ndarray) -> np.ndarray:
        pixels = self.input.apply(images).astype(self._dtype, copy=False)
        try:
            output = session.run([self.output], {self.input_name: pixels})[0]
        except Exception as error:
            raise UserError(f"{self._name} cannot embed {len(images)} face(s): {_first_line(error)}") from None
        if output.ndim < 2 or len(output) != len(images) or output[0].size != max(output.shape[1:]):
            raise UserError(
                f"{self._name} gives {output.shape} as {self.output} for {len(images)} face(s), not an embedding each"
            )
        return output.reshape(len(output), -1).astype(np.float32, copy=False)

    def _found_batch(self) -> int | None:
        """1 for a model that says it takes any batch, but reshapes to one image inside; None: any."""
        try:
            self._run(self._session, np.zeros((2, 112, 112, 3), np.uint8))
        except UserError:
            self._run(self._session, np.zeros((1, 112, 112, 3), np.uint8))  # raises what is wrong otherwise
            return 1
        return None

    def _right_session(
        self, content: str | bytes, settings: onnxruntime.SessionOptions
    ) -> onnxruntime.InferenceSession:
        """A session that computes what the model says.

        On some CPUs (seen on virtual ones with AMX) ONNX Runtime's integer kernels are plainly wrong, and not for every
        image nor each time. A model that has such steps is tried both ways on images of random blocks, together and
        again and again each alone, and if they disagree on one it runs in float32, with a warning.
        """
        settings.graph_optimization_level = _FLOAT
        exact = onnxruntime.InferenceSession(content, settings, providers=_PROVIDERS)
        blocks = np.random.default_rng(0).integers(0, 256, (self._only_batch or _TRIED, 7, 7, 3), np.uint8)
        blocks = blocks.repeat(16, axis=1).repeat(16, axis=2)
        wanted, size = self._run(exact, blocks), self._only_batch or 1
        tries = [slice(None), *(slice(i, i + size) for _ in range(_TRIED) for i in range(0, len(blocks), size))]
        if all(_close(self._run(self._session, blocks[part]), wanted[part]) for part in tries):
            return self._session
        warnings.warn(
            "ONNX Runtime's integer kernels are wrong on this CPU; the model runs in float32 here, more slowly",
            UserWarned,
            stacklevel=4,
        )
        self.in_float32 = True
        return exact


def _close(embeddings: np.ndarray, wanted: np.ndarray) -> bool:
    return bool((np.linalg.norm(embeddings - wanted, axis=1) <= _ROUNDING * np.linalg.norm(wanted, axis=1)).all())


def _first_line(error: Exception) -> str:
    return shown(error)
