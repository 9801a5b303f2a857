"""Embeddings that an earlier pass left on disk, in place of a model."""

from pathlib import Path

import numpy as np

from evaluation.embedding_file import load_embeddings
from evaluation.sources import ImageSource
from utils.errors import UserError


def embeddings_of(images: ImageSource, path: Path) -> tuple[np.ndarray, str]:
    """The embeddings in `path` (N, views, E), which must be those of `images`, and the model that made them.

    Raises UserError where they are of other images, or as `load_embeddings`.
    """
    embeddings, about = load_embeddings(path)
    if len(embeddings) != len(images):
        raise UserError(f"{path} holds the embeddings of {len(embeddings)} images, and the set is of {len(images)}")
    return embeddings, str(about.get("model"))
