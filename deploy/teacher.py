"""The teacher of a run that distills one."""

from pathlib import Path

from data.teacher import LiveTeacher, StoredTeacher, Teacher
from deploy.embedder import load_embedder
from evaluation.saved import embeddings_of
from evaluation.sources import RecordImages
from utils.errors import UserError


def open_teacher(path: Path, dataset: Path) -> Teacher:
    """Embeddings that `tools/embed.py` made of a dataset (`.npy`), or else a model, as `load_embedder` takes it, which
    ONNX Runtime runs on the host, a thread for each batch that is made ready.

    Raises UserError if there is no such thing, it is damaged, or the embeddings are of another dataset.
    """
    if path.suffix == ".npy":
        rows, _ = embeddings_of(RecordImages(dataset), path)
        return StoredTeacher(rows)
    if not path.exists():
        raise UserError(f"there is no teacher at {path}; make one with tools/embed.py, or give a model")
    embedder = load_embedder(path, backend="onnx", threads=1)
    return LiveTeacher(embedder, embedder.embedding_size)
