"""A backbone in use: faces in, embeddings out, on one process."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import oneflow as flow

from backbones import get_model
from backbones.pixels import Pixels
from deploy.input_format import OWN, InputFormat, own_format
from deploy.onnx_embedder import OnnxEmbedder
from deploy.onnx_options import NOTHING_SAID, OnnxOptions
from deploy.weights import WEIGHTS, check_fits, input_of, load_backbone
from utils.errors import UserError
from utils.pixels import all_fitted

BACKENDS = ("auto", "oneflow", "onnx")
_IMAGE_BYTES = 16 << 20  # of activations in a card's memory, by the widest networks
_CARD_BATCH = 512  # larger ones are no quicker


class Embedder:
    """A backbone with local tensors in evaluation mode.

    Called with images (N, H, W, 3) uint8 RGB, which it scales to its own size, it returns embeddings (N, E) float32,
    not normalized. `batch_size` suits the device.
    """

    backend = "oneflow"

    def __init__(self, network: str, embedding_size: int, device: str = "cpu", input_format: InputFormat = OWN) -> None:
        self.network_name, self.embedding_size, self.device = network, embedding_size, device
        self.input = input_format
        self.network = get_model(network, embedding_size, image=input_format.shape).to(device).eval()
        self._pixels = Pixels(input_format.shape.channels)

    @property
    def batch_size(self) -> int:
        if self.device == "cpu":
            return OnnxEmbedder.batch_size
        memory = flow.cuda.get_device_properties().total_memory  # of the current card, as start_runtime chose it
        return min(max(1, memory // 4 // _IMAGE_BYTES), _CARD_BATCH)

    def load(self, state: Mapping[str, np.ndarray], source: str = "the weights") -> None:
        """Takes the weights. Raises UserError naming tensors that are missing, unknown or of another shape."""
        wanted = {name: tuple(tensor.shape) for name, tensor in self.network.state_dict().items()}
        check_fits(wanted, state, source)
        self.network.load_state_dict({name: flow.tensor(array) for name, array in state.items()})

    def __call__(self, images: np.ndarray) -> np.ndarray:
        with flow.no_grad():
            return self.network(self._taken(images)).numpy()

    def _taken(self, images: np.ndarray) -> flow.Tensor:
        if self.input.is_pixels(own_format(self.input.shape)):
            return self._pixels(flow.tensor(all_fitted(images, self.input.shape)).to(self.device))
        return flow.tensor(self.input.apply(images)).to(self.device)


def load_backbone_embedder(path: Path, device: str = "cpu") -> Embedder:
    """The model in a `.safetensors` file, or in the folder of a run or checkpoint. Raises UserError as its parts do."""
    state, about = load_backbone(path)
    embedder = Embedder(about["network"], about["embedding_size"], device, input_of(about, path))
    embedder.load(state, f"the weights in {path}")
    return embedder


def load_embedder(
    path: Path,
    device: str = "cpu",
    backend: str = "auto",
    threads: int | None = None,
    options: OnnxOptions = NOTHING_SAID,
) -> Embedder | OnnxEmbedder:
    """The model of any kind at `path`: as `load_backbone_embedder`, or an `.onnx` file, which runs on the CPU.

    backend: what runs it, one of BACKENDS. "onnx" makes an ONNX model of a backbone, in memory, and runs that on the
    CPU; "auto" does so where the device is the CPU, on which ONNX Runtime takes a fraction of OneFlow's time (by
    tests/benchmarks/bench_embed.py 0.4 for r18, 0.2 for mbf and mbf_tiny). threads: of ONNX Runtime, by default one for
    each core. options: of an `.onnx` file that was made elsewhere.

    Raises UserError where there is no model, it is damaged, or the backend cannot run it.
    """
    options.check(path)
    if path.suffix == ".onnx":
        if backend == "oneflow":
            raise UserError(f"OneFlow cannot run {path}; leave out the backend, or give the model it was made from")
        return OnnxEmbedder(path, threads, options)
    if backend == "onnx" or (backend == "auto" and device == "cpu"):
        from deploy.onnx_convert import to_onnx  # brings oneflow-onnx along, which a training run can do without

        embedder = load_backbone_embedder(path)
        options = OnnxOptions(input=str(embedder.input))
        return OnnxEmbedder(to_onnx(embedder.network, image=embedder.input.shape).SerializeToString(), threads, options)
    return load_backbone_embedder(path, device)


def model_digest(path: Path, options: OnnxOptions = NOTHING_SAID) -> str:
    """Of the weights at `path`, a file or folder as `load_embedder` takes it, and of the options if there are any.

    Differs where the embeddings do.
    """
    digest = hashlib.sha256()
    with (path / WEIGHTS if path.is_dir() else path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if options != NOTHING_SAID:
        digest.update(repr(options).encode())
    return digest.hexdigest()
