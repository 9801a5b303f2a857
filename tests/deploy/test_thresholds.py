"""The thresholds beside the weights: whose they are, which one counts, and what is said of a damaged file."""

import json

import pytest

from deploy.thresholds import measured_threshold, store_thresholds
from utils.errors import UserError


def result(cosine, accuracy=0.9, pairs=100, same=50):
    return {"cosine": cosine, "accuracy": accuracy, "pairs": pairs, "same": same}


def test_the_first_set_of_the_last_verification_counts(tmp_path):
    model = tmp_path / "model.onnx"
    assert measured_threshold(model, "d") is None
    said = store_thresholds(model, "d", {"lfw": result(0.3), "agedb_30": result(0.2)})
    assert str(tmp_path / "model.thresholds.json") in said
    assert (measured_threshold(model, "d").name, measured_threshold(model, "d").cosine) == ("lfw", 0.3)
    store_thresholds(model, "d", {"mine": result(0.4)})
    assert measured_threshold(model, "d").name == "mine"
    stored = json.loads((tmp_path / "model.thresholds.json").read_text())["sets"]
    assert [one["name"] for one in stored] == ["mine", "lfw", "agedb_30"]
    store_thresholds(model, "d", {"lfw": result(0.35)})
    assert measured_threshold(model, "d").cosine == 0.35


def test_other_weights_have_none_of_it(tmp_path):
    store_thresholds(tmp_path, "old", {"lfw": result(0.3)})
    assert measured_threshold(tmp_path, "new") is None
    store_thresholds(tmp_path, "new", {"cfp_fp": result(0.1)})
    assert [one["name"] for one in json.loads((tmp_path / "thresholds.json").read_text())["sets"]] == ["cfp_fp"]


def test_a_run_and_the_weights_in_it_are_one_model(tmp_path):
    store_thresholds(tmp_path, "d", {"lfw": result(0.3)})
    assert measured_threshold(tmp_path / "backbone.safetensors", "d").cosine == 0.3


def test_pairs_of_one_kind_have_no_threshold(tmp_path):
    store_thresholds(tmp_path, "d", {"same": result(0.9, same=100), "different": result(0.9, same=0)})
    assert measured_threshold(tmp_path, "d") is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"digest": "d"}',
        '{"digest": "d", "sets": [{"name": "x"}]}',
        '{"digest": "d", "sets": [{"name": "x", "cosine": 7, "accuracy": 1, "pairs": 1}]}',
    ],
)
def test_a_damaged_file_is_a_sentence(tmp_path, content):
    (tmp_path / "thresholds.json").write_text(content)
    with pytest.raises(UserError, match=r"thresholds\.json is damaged(: .*)?; remove it and verify the model again"):
        measured_threshold(tmp_path, "d")
    store_thresholds(tmp_path, "d", {"lfw": result(0.3)})
    assert measured_threshold(tmp_path, "d").cosine == 0.3


def test_weights_where_nobody_may_write_are_verified_all_the_same(tmp_path):
    (tmp_path / "file").write_text("")
    assert "not stored" in store_thresholds(tmp_path / "file" / "model.onnx", "d", {"lfw": result(0.3)})
