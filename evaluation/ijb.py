"""IJB-B and IJB-C from embeddings of their images: 1:1 verification and 1:N identification of templates.

TAR is at the lowest threshold whose FAR is at most the target. InsightFace's scripts take the point of the curve whose
FAR is nearest to it, also above, which is at most one false accept more: of about 15 at FAR 1e-6 on IJB-C.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.curves import Roc, roc
from evaluation.ijb_meta import Ijb
from evaluation.quality import FMR, error_versus_reject, magnitudes, pair_quality
from evaluation.results import curve_facts
from evaluation.search import Searches, identification, search
from evaluation.templates import Setting, drop_pages, template_features, template_quality
from utils.errors import UserError

_CHECKED = 4096  # images looked through at a time
_ROWS = 256  # templates scored against all others at a time


@dataclass(frozen=True)
class IjbResult:
    """What a benchmark says about a backbone in one setting."""

    setting: Setting
    roc: Roc  # of the cosines of pairs of templates
    galleries: dict[str, Searches]  # by the gallery's name; empty where there is no 1:N
    rejects: dict  # the curve of `error_versus_reject`


def check_embeddings(ijb: Ijb, embeddings: np.ndarray) -> None:
    """Raises UserError where embeddings are not (N, 2, E) or (N, 1, E) of these N images, or not all finite."""
    if embeddings.ndim != 3 or len(embeddings) != len(ijb.names) or embeddings.shape[1] not in (1, 2):
        raise UserError(
            f"the embeddings are {embeddings.shape}; {ijb.target} has {len(ijb.names)} images, which takes "
            f"({len(ijb.names)}, 2, E) with mirror images or ({len(ijb.names)}, 1, E) without"
        )
    bad: list[int] = []
    for start in range(0, len(embeddings), _CHECKED):
        finite = np.isfinite(embeddings[start : start + _CHECKED]).all(axis=(1, 2))
        bad.extend(start + np.flatnonzero(~finite))
        drop_pages(embeddings)
    if bad:
        first = ", ".join(ijb.names[image] for image in bad[:5])
        raise UserError(f"the embeddings of {len(bad)} of {len(ijb.names)} images have NaN or infinity: {first}")


def ijb_quality(ijb: Ijb, embeddings: np.ndarray) -> np.ndarray:
    """The quality of the pairs of templates, (P,), from the magnitudes of their images without flip."""
    quality = template_quality(magnitudes(embeddings), ijb.templates, ijb.medias)
    return pair_quality(quality, ijb.first, ijb.second)


def evaluate_ijb(
    ijb: Ijb, embeddings: np.ndarray, setting: Setting, quality: np.ndarray | None = None, fmr: float = FMR
) -> IjbResult:
    """Judges embeddings, as `check_embeddings` allows, in one setting; 1:N where galleries were read.

    quality: `ijb_quality`, which is the same in all settings; fmr: of the error-versus-reject curve.

    Raises UserError where the setting needs mirror images and there are none.
    """
    features = template_features(embeddings, ijb.detector_scores, ijb.templates, ijb.medias, setting)
    scores = pair_scores(features, ijb.first, ijb.second)
    curve = roc(scores, ijb.same)
    rejects = error_versus_reject(scores, ijb.same, ijb_quality(ijb, embeddings) if quality is None else quality, fmr)

    galleries = {}
    if ijb.probes is not None:
        probes, who = features[ijb.probes.templates], ijb.probes.subjects
        for name, gallery in ijb.galleries.items():
            galleries[name] = search(probes, who, features[gallery.templates], gallery.subjects)
    return IjbResult(setting, curve, galleries, rejects)


def ijb_result(target: str, model: str, result: IjbResult, about: Mapping[str, str] | None = None) -> dict:
    """The result as plain data, as evaluation/results.py writes it. `identification` is of both galleries together.

    about: what the result is of, as `evaluation.about` has it.
    """
    return {
        "kind": "ijb",
        "name": target,
        "model": model,
        "setting": str(result.setting),
        "about": dict(about or {}),
        **curve_facts(result.roc),
        "error_versus_reject": result.rejects,
        "identification": identification(list(result.galleries.values())) if result.galleries else {},
        "galleries": {
            name: {
                "mated": len(searches.ranks),
                "without_mate": len(searches.top_scores),
                **identification([searches]),
            }
            for name, searches in result.galleries.items()
        },
    }


def pair_scores(features: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Inner products of rows `first` and `second`, (P,) each, of features (T, E) float32 -> (P,) float32."""
    # A table of some templates against all takes far less time than fetching two rows for each pair, as IJB's pairs are
    # a quarter of all that its galleries and probes make.
    order = np.argsort(first, kind="stable")
    starts = np.searchsorted(first[order], np.arange(0, len(features) + _ROWS, _ROWS))
    scores = np.empty(len(first), np.float32)
    for number, row in enumerate(range(0, len(features), _ROWS)):
        pairs = order[starts[number] : starts[number + 1]]
        if pairs.size:
            table = features[row : row + _ROWS] @ features.T
            scores[pairs] = table[first[pairs] - row, second[pairs]]
    return scores
