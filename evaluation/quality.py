"""The quality of faces by the magnitude of their embeddings, and what it is worth: the error-versus-reject curve.

Meng et al., MagFace (CVPR 2021): the norm of an embedding, of the image without its mirror image, grows with how well
a face can be recognized. Grother and Tabassi (2007): if it does, errors fall as the pairs of the lowest quality go.
"""

import numpy as np

from evaluation.curves import roc
from evaluation.templates import drop_pages

FMR = 1e-3
DROPPED = tuple(range(0, 100, 5))  # percent of the pairs
_BLOCK = 4096  # images worked on at a time


def magnitudes(embeddings: np.ndarray) -> np.ndarray:
    """|x| of each image, (N,) float64, from embeddings (N, views, E), of which [:, 0] are without flip.

    They are read by the block, so that they may be a memory-mapped file.
    """
    norms = np.empty(len(embeddings))
    for start in range(0, len(embeddings), _BLOCK):
        norms[start : start + _BLOCK] = np.linalg.norm(embeddings[start : start + _BLOCK, 0].astype(np.float64), axis=1)
        drop_pages(embeddings)
    return norms


def pair_quality(quality: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A pair is as good as its worse half: (P,) from the quality of images or templates, and their numbers, (P,)."""
    return np.minimum(quality[first], quality[second])


def error_versus_reject(scores: np.ndarray, same: np.ndarray, quality: np.ndarray, fmr: float = FMR) -> dict:
    """FNMR over the share of pairs dropped, those of the lowest quality first, as plain data for a result.

    scores: of pairs (P,), higher for more alike; same: (P,) bool; quality: (P,), of equals the earlier pair goes first.

    The FMR is what is fixed: each share has a threshold of its own, the lowest one whose false match rate on the pairs
    that are left is at most `fmr`. None stands for what these do not allow, as `Roc.tar_at` has it.
    """
    order = np.argsort(quality, kind="stable")
    scores, same = scores[order], np.asarray(same, bool)[order]
    fnmr = []
    for percent in DROPPED:
        start = len(scores) * percent // 100
        tar = roc(scores[start:], same[start:]).tar_at(fmr)
        fnmr.append(None if tar is None else 1 - tar)
    return {"fmr": fmr, "dropped": [percent / 100 for percent in DROPPED], "fnmr": fnmr}
