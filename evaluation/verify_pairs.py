"""A model on a set of pairs, from embeddings to the result and its files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from evaluation.curves import roc
from evaluation.hardest import write_strips
from evaluation.pairs import Pairs
from evaluation.quality import FMR, error_versus_reject, magnitudes, pair_quality
from evaluation.results import measures, show_tar, verification_result, write_result
from evaluation.verification import FOLDS, VerificationResult, judge

_HARDEST = 12  # pairs of each kind


def verify_pairs(
    name: str,
    pairs: Pairs,
    embeddings: np.ndarray,
    model: str,
    folds: int = FOLDS,
    pca: int = 0,
    out: Path | None = None,
    fmr: float = FMR,
    about: Mapping[str, str] | None = None,
) -> tuple[VerificationResult, dict]:
    """What InsightFace's protocol says, and the whole result (evaluation/results.py), of a set's images (N, views, E).

    out: a folder for `name`.json, .csv and .md, and the pictures of the hardest pairs. fmr: the false match rate of the
    error-versus-reject curve, in which a pair is as good as the smaller magnitude of its two embeddings without flip.
    about: as for `verification_result`.

    Raises UserError as `judge`, and where an image cannot be read or a file not written.
    """
    judged = judge(embeddings, pairs.pairs, pairs.issame, folds, pca=pca, name=pairs.images.name)
    cosines = 1 - judged.distances / 2
    strips = write_strips(pairs, cosines, _HARDEST, out, f"{name}-hardest") if out else ()
    result = verification_result(name, model, judged, roc(cosines, pairs.issame), strips, pca, about)
    quality = pair_quality(magnitudes(embeddings), *pairs.pairs.T)
    result["error_versus_reject"] = error_versus_reject(cosines, pairs.issame, quality, fmr)
    if out:
        write_result(result, out, name)
    return judged.result, result


def describe_curve(name: str, result: dict) -> list[str]:
    """What `evaluation.embed.describe` does not say, as lines for a log: all pairs judged at once, not by folds. FARs
    for which there are too few pairs share a line.
    """
    said = ("accuracy", "XNorm")
    folds = result["tar_of_folds"]
    lines = []
    if folds["far"] is not None:
        lines.append(f"FAR met by the folds of that TAR: {folds['far']:.5f}")
    few = [far for far, tar in result["tar_at_far"].items() if tar is None]
    for measure, value in measures(result).items():
        if measure not in said and measure.removeprefix("TAR@FAR=") not in few:
            where = " (all pairs)" if measure.startswith("TAR") else ""
            lines.append(f"{measure}{where}: {value}")
    if few:
        lines.append(f"TAR@FAR={', '.join(few)} (all pairs): {show_tar(result, few[0], None)}")
    return [f"[{name}]{line}" for line in lines]
