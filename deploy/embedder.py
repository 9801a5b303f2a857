"""A backbone in use: faces in, embeddings out, on one process."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import oneflow as flow

from backbones import get_model
from deploy.onnx_embedder import OnnxEmbedder
from deploy.weights import check_fits, load_backbone


class Embedder:
    """A backbone with local tensors in evaluation mode.

    Called with images (N, 112, 112, 3) uint8 RGB it returns embeddings (N, E) float32, not normalised.
    """

    def __init__(self, network: str, embedding_size: int, device: str = "cpu") -> None:
        self.network_name, self.embedding_size, self.device = network, embedding_size, device
        self.network = get_model(network, embedding_size).to(device).eval()

    def load(self, state: Mapping[str, np.ndarray], source: str = "the weights") -> None:
        """Takes the weights. Raises UserError naming tensors that are missing, unknown or of another shape."""
        wanted = {name: tuple(tensor.shape) for name, tensor in self.network.state_dict().items()}
        check_fits(wanted, state, source)
        self.network.load_state_dict({name: flow.tensor(array) for name, array in state.items()})

    def __call__(self, images: np.ndarray) -> np.ndarray:
        pixels = flow.tensor(images).to(self.device).to(flow.float32)
        pixels = (pixels / 255.0 - 0.5) / 0.5
        with flow.no_grad():
            return self.network(pixels.permute(0, 3, 1, 2).contiguous()).numpy()


def load_backbone_embedder(path: Path, device: str = "cpu") -> Embedder:
    """The model in a `.safetensors` file, or in the folder of a run or checkpoint. Raises UserError as its parts do."""
    state, about = load_backbone(path)
    embedder = Embedder(about["network"], about["embedding_size"], device)
    embedder.load(state, f"the weights in {path}")
    return embedder


def load_embedder(path: Path, device: str = "cpu") -> Embedder | OnnxEmbedder:
    """The model of any kind at `path`: as `load_backbone_embedder`, or an `.onnx` file, which runs on the CPU.

    Raises UserError where there is none, or it is damaged.
    """
    return OnnxEmbedder(path) if path.suffix == ".onnx" else load_backbone_embedder(path, device)
