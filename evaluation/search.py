"""1:N identification as IJB reports it: who of a gallery is it, if anybody?

Each probe template is searched for in a gallery. A search is mated where the gallery holds the probe's subject, and its
rank is then 1 plus the number of other subjects' templates that score at least as high as the subject's own.

- Closed set, over mated searches: rank-k is the share of a rank of at most k.
- Open set (Grother and Ngan, NIST IR 8009; Maze et al., 2018): FPIR at a threshold is the share of searches without
  mate in which somebody scores at least that; TPIR is the share of mated searches of rank 1 in which the mate does.
  TPIR@FPIR=f is TPIR at the lowest threshold whose FPIR is at most f.

IJB has two galleries of different people, and every probe's subject is in one of them. As in InsightFace's
ijb_evals.py, TPIR is the mean of both galleries, and ranks are over the mated searches of both together. There, the
threshold accepts one search without mate fewer; and its older ijb_1n.py makes one gallery of both, so that no search is
without mate, and counts false scores where FPIR counts searches: its figures are not comparable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.curves import Roc

FPIRS = (1e-2, 1e-1)
RANKS = (1, 5, 10)
_BLOCK = 1024  # probes searched for at a time


@dataclass(frozen=True)
class Searches:
    """What searching for each probe in one gallery found; S mated searches, U without mate."""

    ranks: np.ndarray  # (S,) from 1
    mate_scores: np.ndarray  # (S,) of the subject's own template, the best one where it has several
    top_scores: np.ndarray  # (U,) of whoever is most alike

    def tpir(self, fpir: float) -> float | None:
        """TPIR at this FPIR; None without mated searches, or with fewer than 1 / fpir searches without mate."""
        # A curve like that of pairs, where a search that finds another subject first is accepted at no threshold.
        accepted = np.where(self.ranks == 1, self.mate_scores, -np.inf)
        return Roc(np.sort(accepted), np.sort(self.top_scores)).tar_at(fpir)


def search(
    probes: np.ndarray, probe_subjects: np.ndarray, gallery: np.ndarray, gallery_subjects: np.ndarray
) -> Searches:
    """Searches for probes, features (n, E) of subjects (n,), in a gallery, (m, E) of (m,), by inner product."""
    ranks, mate_scores, top_scores = [], [], []
    for start in range(0, len(probes), _BLOCK):
        scores = probes[start : start + _BLOCK] @ gallery.T
        own = probe_subjects[start : start + _BLOCK, None] == gallery_subjects
        mated = own.any(axis=1)
        mate = np.where(own, scores, -np.inf).max(axis=1)
        ranks.append(1 + (~own & (scores >= mate[:, None])).sum(axis=1)[mated])
        mate_scores.append(mate[mated])
        top_scores.append(scores[~mated].max(axis=1))
    return Searches(*map(np.concatenate, (ranks, mate_scores, top_scores)))


def identification(galleries: Sequence[Searches]) -> dict[str, float | None]:
    """TPIR and ranks of one gallery, or of several together, by name; None where one does not allow the figure."""
    together = np.concatenate([searches.ranks for searches in galleries])
    figures = {f"TPIR@FPIR={fpir:.0e}": _mean([searches.tpir(fpir) for searches in galleries]) for fpir in FPIRS}
    for rank in RANKS:
        figures[f"rank-{rank}"] = float((together <= rank).mean()) if together.size else None
    return figures


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None
