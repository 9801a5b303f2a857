"""Search against its definition: a person's score is their best image's, and people come in its order."""

import numpy as np
import pytest

from recognition import search
from recognition.gallery import Gallery
from recognition.search import nearest
from tests.recognition.test_gallery import unit


def by_definition(embeddings, names, sources, query, count):
    best = {}
    for row, name, source in zip(embeddings, names, sources, strict=True):
        score = sum(float(a) * float(b) for a, b in zip(row, query, strict=True))
        if name not in best or score > best[name][0]:
            best[name] = (score, source)
    return sorted(((score, name, source) for name, (score, source) in best.items()), reverse=True)[:count]


@pytest.mark.parametrize("rows", [1, 7, 4096])
@pytest.mark.parametrize(("entries", "people"), [(1, 1), (50, 50), (57, 9), (30, 1)])
def test_as_by_definition(monkeypatch, rows, entries, people):
    """Also where the gallery is cut into blocks that cut through people."""
    monkeypatch.setattr(search, "_ROWS", rows)
    monkeypatch.setattr(search, "_QUERIES", 3)
    rng = np.random.default_rng(entries)
    embeddings, queries = unit(rng, entries), unit(rng, 8)
    names = [f"人 {person}" for person in rng.permutation(np.arange(entries) % people)]
    sources = [f"{n}.jpg" for n in range(entries)]
    gallery = Gallery.build(embeddings, names, sources, {})
    for count in (1, 2, 5):
        matches_of_all = nearest(gallery, queries, count)
        assert len(matches_of_all) == 8
        for query, matches in zip(queries, matches_of_all, strict=True):
            expected = by_definition(embeddings, names, sources, query, count)
            assert len(matches) == len(expected) == min(count, people)
            assert [(match.name, match.source) for match in matches] == [wanted[1:] for wanted in expected]
            np.testing.assert_allclose(
                [match.score for match in matches], [wanted[0] for wanted in expected], atol=1e-6
            )


def test_nobody_to_look_for():
    gallery = Gallery.build(unit(np.random.default_rng(0), 3), ["a", "b", "c"], ["1", "2", "3"], {})
    assert nearest(gallery, np.empty((0, 16), np.float32)) == []


def test_equal_scores_give_the_first():
    rows = np.repeat(unit(np.random.default_rng(0), 1), 4, axis=0)
    gallery = Gallery.build(rows, ["b", "a", "b", "c"], list("1234"), {})
    (matches,) = nearest(gallery, rows[:1], 3)
    assert [(match.name, match.source) for match in matches] == [("b", "1"), ("a", "2"), ("c", "4")]
