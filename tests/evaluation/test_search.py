"""1:N identification against loops from the definition, with ties, strangers and figures that searches do not allow."""

import numpy as np
import pytest

from evaluation import search as module
from evaluation.search import identification, search


def naive(scores, probe_subjects, gallery_subjects):
    """Rank and the mate's score of mated searches, and the best score of the others."""
    mated, others = [], []
    for row, subject in zip(scores, probe_subjects, strict=True):
        own = [score for score, who in zip(row, gallery_subjects, strict=True) if who == subject]
        rest = [score for score, who in zip(row, gallery_subjects, strict=True) if who != subject]
        if own:
            mated.append((1 + sum(score >= max(own) for score in rest), max(own)))
        else:
            others.append(max(row))
    return mated, others


def naive_tpir(mated, others, fpir):
    """The most that any threshold of at most this FPIR finds, among all that make a difference."""
    if not mated or len(others) * fpir < 1 - 1e-9:
        return None
    shares = []
    for threshold in [*others, *(score for _, score in mated), np.inf]:
        if sum(score >= threshold for score in others) <= fpir * len(others) + 1e-9:
            shares.append(sum(rank == 1 and score >= threshold for rank, score in mated) / len(mated))
    return max(shares)


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("strangers", [0, 0.3, 0.9])
@pytest.mark.parametrize("people", [1, 5, 40])
def test_searches_are_as_defined(monkeypatch, levels, strangers, people):
    """Whole numbers are scored without rounding, and few levels of them tie."""
    monkeypatch.setattr(module, "_BLOCK", 100)
    rng = np.random.default_rng([levels, int(10 * strangers), people])
    galleries, searches, expected = [], [], []
    probes = rng.integers(-levels, levels, (350, 3)).astype(np.float32)
    for gallery in range(2):
        features = rng.integers(-levels, levels, (people + 3, 3)).astype(np.float32)
        subjects = np.r_[np.arange(people), rng.integers(0, people, 3)] + 1000 * gallery  # some have two templates
        galleries.append((features, subjects))
    of_probe = rng.integers(0, people, 350) + 1000 * rng.integers(0, 2, 350)
    of_probe[rng.random(350) < strangers] = 5000
    for features, subjects in galleries:
        searches.append(search(probes, of_probe, features, subjects))
        expected.append(naive((probes @ features.T).tolist(), of_probe, subjects))
        mated, others = expected[-1]
        assert searches[-1].ranks.tolist() == [rank for rank, _ in mated]
        assert searches[-1].mate_scores.tolist() == [score for _, score in mated]
        assert searches[-1].top_scores.tolist() == others

    figures = identification(searches)
    ranks = [rank for mated, _ in expected for rank, _ in mated]
    assert [figures[f"rank-{k}"] for k in (1, 5, 10)] == [np.mean(np.array(ranks) <= k) for k in (1, 5, 10)]
    for fpir, name in ((0.01, "TPIR@FPIR=1e-02"), (0.1, "TPIR@FPIR=1e-01")):
        tpirs = [naive_tpir(mated, others, fpir) for mated, others in expected]
        assert figures[name] == (None if None in tpirs else pytest.approx(np.mean(tpirs), abs=1e-12))


def test_a_tie_with_somebody_else_does_not_count():
    probe, gallery = np.float32([[1, 0]]), np.float32([[1, 0], [1, 0], [0, 1]])
    searches = search(probe, np.array([7]), gallery, np.array([7, 8, 9]))
    assert searches.ranks.tolist() == [2] and identification([searches])["rank-1"] == 0


def test_figures_that_the_searches_do_not_allow():
    rng = np.random.default_rng(0)
    probes, gallery = rng.normal(size=(60, 8)).astype(np.float32), rng.normal(size=(5, 8)).astype(np.float32)
    all_mated = search(probes, np.arange(60) % 5, gallery, np.arange(5))
    assert identification([all_mated])["TPIR@FPIR=1e-01"] is None and identification([all_mated])["rank-1"] is not None
    strangers = search(probes, np.full(60, 99), gallery, np.arange(5))
    assert set(identification([strangers]).values()) == {None}
    few = search(probes, np.r_[np.zeros(45, int), np.full(15, 99)], gallery, np.arange(5))
    assert identification([few])["TPIR@FPIR=1e-02"] is None and identification([few])["TPIR@FPIR=1e-01"] is not None
    assert identification([few, strangers])["TPIR@FPIR=1e-01"] is None
