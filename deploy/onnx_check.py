"""An ONNX model held against the OneFlow network it was made from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

BATCH_SIZES = (1, 2, 5)
IMAGES = max(BATCH_SIZES)  # a batch is the first of them, so an image also meets different company

Embed = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Difference:
    """Between the embeddings of one batch: the largest of any number, and the smallest cosine of any image."""

    batch_size: int
    largest: float
    cosine: float

    def __str__(self) -> str:
        return f"batch {self.batch_size}: max difference {self.largest:.2e}, min cosine {self.cosine:.8f}"


def compare(embed: Embed, reference: Embed, images: np.ndarray) -> list[Difference]:
    """The differences at each of BATCH_SIZES; images: (IMAGES, H, W, 3) uint8 RGB."""
    wanted = reference(images)
    return [_difference(embed(images[:size]), wanted[:size]) for size in BATCH_SIZES]


def worst(differences: Sequence[Difference]) -> Difference:
    """The one of the smallest cosine; a NaN is smaller than any."""
    return min(differences, key=lambda difference: (not np.isnan(difference.cosine), difference.cosine))


def _difference(embeddings: np.ndarray, wanted: np.ndarray) -> Difference:
    a, b = embeddings.astype(np.float64), wanted.astype(np.float64)
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return Difference(len(a), float(np.abs(a - b).max()), float(cosine.min()))
