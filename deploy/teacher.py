"""The teacher of a run that distills one."""

from pathlib import Path

from data.teacher import LiveTeacher, StoredTeacher, Teacher
from deploy.embedder import model_digest
from deploy.onnx_embedder import OnnxEmbedder
from evaluation.embedding_file import load_embeddings
from evaluation.saved import embeddings_of
from evaluation.sources import RecordImages
from utils.errors import UserError
from utils.pixels import USUAL_SHAPE, ImageShape


def find_teacher(name: str) -> Path:
    """Where a config's teacher is. Raises UserError if there is nothing."""
    if not Path(name).exists() and Path(name).suffix != ".npy":  # which may be unfinished
        kinds = "embeddings that tools/embed.py made (.npy), an .onnx file, or the folder of a run"
        raise UserError(f"there is no teacher at {name}; give {kinds}")
    return Path(name)


def teacher_digest(path: Path) -> str | None:
    """Of the weights of a teacher at `path`, or of those that made its stored embeddings; None if these do not say."""
    if path.suffix == ".npy":
        return load_embeddings(path, verify=False)[1].get("model_digest")
    return model_digest(path)


def teacher_size(path: Path) -> int:
    """The length of its embeddings, stored ones or those of an ONNX model. Raises UserError as `open_teacher`."""
    if path.suffix == ".npy":
        return load_embeddings(path, verify=False)[0].shape[2]
    return OnnxEmbedder(path, threads=1).embedding_size


def open_teacher(path: Path, dataset: Path, shape: ImageShape = USUAL_SHAPE) -> Teacher:
    """Embeddings that `tools/embed.py` made of a dataset (`.npy`), or an ONNX model, which runs on the host, a thread
    for each batch that is made ready.

    shape: of the student's images. Raises UserError if there is no such thing, it is damaged, the embeddings are of
    another dataset, or a student of gray images would have a teacher of colors.
    """
    if path.suffix == ".npy":
        rows, _ = embeddings_of(RecordImages(dataset), path)
        return StoredTeacher(rows)
    embedder = OnnxEmbedder(path, threads=1)
    if embedder.input.shape.channels > shape.channels:
        raise UserError(f"teacher={path} takes colors, but gray=True; give its embeddings, made by tools/embed.py")
    return LiveTeacher(embedder, embedder.embedding_size)
