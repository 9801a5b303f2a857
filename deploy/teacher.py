"""The teacher of a run that distills one."""

from pathlib import Path

from data.teacher import LiveTeacher, StoredTeacher, Teacher
from deploy.onnx_embedder import OnnxEmbedder
from evaluation.saved import embeddings_of
from evaluation.sources import RecordImages


def open_teacher(path: Path, dataset: Path) -> Teacher:
    """Embeddings that `tools/embed.py` made of a dataset (`.npy`), or an ONNX model, which runs on the host, a thread
    for each batch that is made ready.

    Raises UserError if there is no such thing, it is damaged, or the embeddings are of another dataset.
    """
    if path.suffix == ".npy":
        rows, _ = embeddings_of(RecordImages(dataset), path)
        return StoredTeacher(rows)
    embedder = OnnxEmbedder(path, threads=1)
    return LiveTeacher(embedder, embedder.embedding_size)
