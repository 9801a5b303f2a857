"""Results: figures against their definition, files that are read back, hardest pairs and their pictures."""

import csv
import json
import math

import cv2
import numpy as np
import pytest

from evaluation.bin_set import write_bin
from evaluation.curves import roc
from evaluation.hardest import hardest_pairs
from evaluation.pairs import read_bin
from evaluation.results import curve_facts, measures, read_result, write_result
from evaluation.verify_pairs import verify_pairs
from tests.data.mxnet_sets import jpegs
from utils.errors import UserError


@pytest.fixture
def pairs(tmp_path):
    write_bin(tmp_path / "set.bin", jpegs(60), [True, False, True] * 10)
    return read_bin(tmp_path / "set.bin")


@pytest.fixture
def embeddings():
    return np.random.default_rng(0).normal(size=(60, 2, 6)).astype(np.float32)


def cosines(embeddings):
    total = embeddings.sum(axis=1, dtype=np.float64)
    total /= np.linalg.norm(total, axis=1, keepdims=True)
    return (total[0::2] * total[1::2]).sum(axis=1)


def test_the_whole_result(pairs, embeddings, tmp_path):
    out = tmp_path / "out"
    measured, result = verify_pairs("set", pairs, embeddings, "a model", out=out)
    assert json.loads((out / "set.json").read_text()) == result == read_result(out / "set.json")
    scores = cosines(embeddings)
    different = scores[~pairs.issame]
    assert (result["kind"], result["name"], result["model"]) == ("verification", "set", "a model")
    assert (result["pairs"], result["same"]) == (30, 20)
    lowest = min(t for t in scores if np.mean(different >= t) <= 0.1)
    assert result["tar_at_far"]["1e-01"] == np.mean(scores[pairs.issame] >= lowest)
    assert result["threshold_at_far"]["1e-01"] == pytest.approx(lowest)
    assert [result["tar_at_far"][f"1e-0{power}"] for power in range(2, 7)] == [None] * 5
    assert result["accuracy"] == measured.accuracy == pytest.approx(np.mean([f["accuracy"] for f in result["folds"]]))
    assert result["cosine"] == pytest.approx(1 - result["threshold"] / 2)
    edges = result["histogram"]["edges"]
    for kind, of in (("same", pairs.issame), ("different", ~pairs.issame)):
        np.testing.assert_array_equal(result["histogram"][kind], np.histogram(scores[of], edges)[0])

    assert measures(result)["TAR@FAR=1e-03"] == "n/a (needs 1,000 different pairs)"
    markdown = (out / "set.md").read_text()
    assert "| TAR@FAR=1e-02 | n/a (needs 100 different pairs) |" in markdown and "| 10 | " in markdown
    for pair in result["hardest"]:
        kind = "same" if pair["same"] else "different"
        assert (
            f"| {kind} | {pair['score']:.4f} | {2 - 2 * pair['score']:.4f} | {' and '.join(pair['images'])} |"
            in markdown
        )
    (row,) = csv.DictReader((out / "set.csv").open())
    assert float(row["accuracy"]) == measured.accuracy and row["tar_at_far_1e-06"] == "" and row["model"] == "a model"
    assert sorted(path.name for path in out.iterdir()) == ["set-hardest", "set.csv", "set.json", "set.md"]


def test_hardest_pairs_and_their_pictures(pairs, embeddings, tmp_path):
    _, result = verify_pairs("set", pairs, embeddings, "a model", out=tmp_path)
    scores = cosines(embeddings)
    for same, order in ((True, 1), (False, -1)):
        shown = [pair for pair in result["hardest"] if pair["same"] == same]
        kind = np.flatnonzero(pairs.issame == same)
        expected = sorted(kind, key=lambda pair: order * scores[pair])[:12]
        assert [pair["score"] for pair in shown] == pytest.approx(scores[expected])
        for pair, number in zip(shown, expected, strict=True):
            assert pair["images"] == [f"image {2 * number + i} of set.bin" for i in (0, 1)]
            strip = cv2.imread(str(tmp_path / pair["strip"]))[:, :, ::-1]
            np.testing.assert_array_equal(strip, np.hstack(pairs.images.decode(2 * number, 2 * number + 2)))


def test_ties_among_the_hardest_keep_their_order():
    assert hardest_pairs(np.zeros(6), np.array([0, 1, 0, 1, 1, 0], bool), 2) == [1, 3, 0, 2]
    assert hardest_pairs(np.zeros(2), np.ones(2, bool), 5) == [0, 1]


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_of_one_kind_only(pairs, embeddings, kind, tmp_path):
    pairs.issame[:] = kind
    _, result = verify_pairs("set", pairs, embeddings, "a model", out=tmp_path)
    assert result["auc"] is result["eer"] is result["tar_at_far"]["1e-01"] is None
    missing = "different" if kind else "same"
    assert missing in measures(result)["TAR@FAR=1e-01"] and measures(result)["AUC"] == "n/a"
    assert read_result(tmp_path / "set.json") == result


def test_a_curve_has_at_most_500_points():
    rng = np.random.default_rng(1)
    facts = curve_facts(roc(rng.uniform(-1, 1, 20000).astype(np.float32), rng.random(20000) < 0.5))
    assert len(facts["roc"]["far"]) == len(facts["roc"]["tar"]) == 500
    assert facts["tar_at_far"]["1e-03"] is not None and facts["tar_at_far"]["1e-04"] is None
    assert sum(facts["histogram"]["same"]) == facts["same"]


def test_embeddings_that_are_no_numbers_name_the_images(pairs, embeddings):
    embeddings[7, 1, 2] = math.nan
    with pytest.raises(UserError, match=r"1 of 60 .*image 7 of set\.bin"):
        verify_pairs("set", pairs, embeddings, "a model")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda result: [result], "no object of JSON"),
        (lambda result: {"kind": "other"}, "neither verification nor ijb"),
        (lambda result: {k: v for k, v in result.items() if k != "folds"}, "folds missing"),
        (lambda result: result | {"roc": {"far": [0.0], "tar": []}}, "evaluate again"),
        (lambda result: result | {"auc": "high"}, "evaluate again"),
        (lambda result: result | {"folds": [{"accuracy": 1.0}]}, "evaluate again"),
        (lambda result: result | {"histogram": {"edges": [0], "same": [1], "different": [1]}}, "evaluate again"),
    ],
)
def test_files_that_are_no_results(pairs, embeddings, damage, sentence, tmp_path):
    _, result = verify_pairs("set", pairs, embeddings, "a model")
    path = tmp_path / "result.json"
    path.write_text(json.dumps(damage(result)))
    with pytest.raises(UserError, match=sentence):
        read_result(path)


def test_files_that_cannot_be_read_or_written(pairs, embeddings, tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_result(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(UserError, match="not a result"):
        read_result(tmp_path / "text.json")
    _, result = verify_pairs("set", pairs, embeddings, "a model")
    with pytest.raises(UserError, match="cannot be written"):
        write_result(result, tmp_path / "text.json", "set")
