"""Embeddings that an earlier pass left on disk, in place of a model."""

from pathlib import Path

import numpy as np

from evaluation.embedding_file import load_embeddings
from evaluation.sources import ImageSource
from utils.errors import UserError


def embeddings_of(images: ImageSource, path: Path) -> tuple[np.ndarray, str]:
    """The embeddings in `path` (N, views, E), which must be those of `images`, and the model that made them.

    Embeddings of other programs, whose X.json has no "digest" of the images, are taken by their number.

    Raises UserError where they are of other images, or as `load_embeddings`.
    """
    embeddings, about = load_embeddings(path)
    if len(embeddings) != len(images):
        raise UserError(f"{path} holds the embeddings of {len(embeddings)} images, and the set is of {len(images)}")
    digest = images.digest()
    if about.get("digest", digest) != digest:
        raise UserError(f"{path} holds the embeddings of {about.get('source')}, and the set's images are not those")
    return embeddings, str(about.get("model", path))
