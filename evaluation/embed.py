"""Embeddings of a verification set, the work shared between ranks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from evaluation.bin_set import BinSet
from evaluation.verification import FOLDS, VerificationResult, verify
from utils.errors import UserError

_CHECKED = 256  # images decoded at a time when a set is looked through

Embed = Callable[[np.ndarray], np.ndarray]
Gather = Callable[[np.ndarray, list[int]], np.ndarray]


def load_bin_sets(names: list[str], folder: Path, rank: int = 0, ranks: int = 1) -> dict[str, BinSet]:
    """The named sets, `folder/NAME.bin`, every image decoded once (by one of the ranks) to see that it can be.

    Raises UserError where a set is missing, damaged or too small.
    """
    sets = {name: BinSet.load(folder / f"{name}.bin") for name in names}
    for images in sets.values():
        if len(images.issame) < FOLDS:
            raise UserError(f"{images.path} holds {len(images.issame)} pairs; {FOLDS} folds need at least {FOLDS}")
        for start in range(rank * _CHECKED, len(images), ranks * _CHECKED):
            images.decode(start, min(start + _CHECKED, len(images)))
    return sets


def embed_set(
    embed: Embed, images: BinSet, batch_size: int, rank: int = 0, ranks: int = 1, gather: Gather | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of all images and of their mirror images, (N, E) float32 each.

    embed: images (n, 112, 112, 3) uint8 RGB -> (n, E). Each rank embeds a contiguous share, and `gather(rows, counts)`
    joins them on every rank (None: one rank); then it is a collective.
    """
    bounds = [len(images) * r // ranks for r in range(ranks + 1)]
    rows = []
    for start in range(bounds[rank], bounds[rank + 1], batch_size):
        pixels = images.decode(start, min(start + batch_size, bounds[rank + 1]))
        rows.append(np.hstack([embed(pixels), embed(np.ascontiguousarray(pixels[:, :, ::-1]))]))
    if not rows:  # more ranks than images
        rows = [np.tile(embed(images.decode(0, 1))[:0], 2)]
    both = np.concatenate(rows)
    if gather:
        both = gather(both, list(np.diff(bounds)))
    return tuple(np.hsplit(both, 2))


def verify_set(embed: Embed, images: BinSet, batch_size: int, **shared) -> VerificationResult:
    """The InsightFace protocol on one set; `shared` as in `embed_set`."""
    embeddings, flipped = embed_set(embed, images, batch_size, **shared)
    return verify(embeddings, flipped, images.issame)


def describe(name: str, result: VerificationResult, step: int | None = None) -> list[str]:
    """The result as lines for a log, in InsightFace's words."""
    tag = f"[{name}]" if step is None else f"[{name}][{step}]"
    return [
        f"{tag}XNorm: {result.xnorm:.6f}",
        f"{tag}Accuracy-Flip: {result.accuracy:.5f}+-{result.std:.5f}",
        f"{tag}TAR@FAR<=1e-3: {result.tar:.5f}+-{result.tar_std:.5f}",
    ]
