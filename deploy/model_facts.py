"""What a model is, in words for pages and model cards."""

from pathlib import Path

from deploy.embedder import Embedder, model_digest
from deploy.onnx_embedder import OnnxEmbedder
from deploy.weights import WEIGHTS, load_backbone
from utils.files import show_size


def model_facts(path: Path, embedder: Embedder | OnnxEmbedder) -> dict[str, str]:
    """path: a file or folder that `load_embedder` takes, from which the embedder was loaded."""
    file = path / WEIGHTS if path.is_dir() else path
    if isinstance(embedder, OnnxEmbedder) and file.suffix == ".onnx":
        network = embedder.metadata.get("network", "")
    else:
        network = load_backbone(path)[1]["network"]
    return {
        "network": str(network),
        "takes": str(embedder.input),
        "file": f"{file}, {show_size(file.stat().st_size)}",
        "SHA-256": model_digest(path),
    }
