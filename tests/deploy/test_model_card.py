"""The model card beside an export: its fields are the hub's, its figures the model's, its code runs."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

import export
from deploy.embedder import load_backbone_embedder, model_digest
from deploy.images import drawn_faces
from deploy.model_card import CARD
from deploy.thresholds import store_thresholds
from tests.deploy.models import make_model

FACTS = {
    "name": "my run",
    "state": "complete",
    "best": {"lfw": {"accuracy": 0.98, "step": 7}, "cfp_fp": {"accuracy": 0.91, "step": 9}},
    "summary": {"data": "faces: 10 images of 2 identities", "loss": "arcface", "network": "mbf_tiny"},
    "config": [["lr", "0.2", True], ["network", "'r|50'", True], ["seed", "1", False], ["output", "'x'", True]],
}


def run(model, out, *options):
    export.main(["demo", "val_path=/nowhere", "--model_path", str(model), "--out_path", str(out), *options])
    return (out.parent / CARD).read_text()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = make_model(tmp_path_factory.mktemp("run") / "best", "mbf_tiny", step=7)
    (folder.parent / "run.json").write_text(json.dumps(FACTS))
    return folder


@pytest.fixture(scope="module")
def card(model, tmp_path_factory):
    hub = tmp_path_factory.mktemp("hub")
    run(model, hub / "model.onnx", "--license", "apache-2.0")
    return hub, run(model, hub / "model_fp16.onnx", "--fp16")


def test_the_files_are_listed_with_their_checksums(card, model):
    hub, text = card
    for name in ("model.onnx", "model_fp16.onnx"):
        digest = hashlib.sha256((hub / name).read_bytes()).hexdigest()
        assert re.search(rf"\| `{name}` \| fp\d\d \| .* \| `{digest}` \|", text)
    assert model_digest(model) in text and "`model_fp16.onnx` was compared with them on drawn faces" in text


def test_it_begins_with_the_hubs_fields_and_keeps_the_license(card):
    lines = card[1].partition("\n---\n")[0].splitlines()
    assert lines[:4] == ["---", 'license: "apache-2.0"', "library_name: onnx", "pipeline_tag: image-feature-extraction"]
    assert "model-index:" not in lines  # it was not verified yet
    assert "not verified yet" not in card[1] and "| lfw | 98.00% | 7 |" in card[1]  # but during training


def test_no_figures_are_those_of_other_weights_of_the_run(card, tmp_path):
    assert "cfp_fp" not in card[1]  # whose best are the weights of step 9
    (tmp_path / "run.json").write_text(json.dumps(FACTS))
    for name, about, wanted in [
        ("cfp_fp", {"step": 9}, "| cfp_fp | 91.00% | 9 |"),
        ("agedb_30", {"step": 8}, "not verified yet"),
        ("old", {}, "not verified yet"),
    ]:
        text = run(make_model(tmp_path / "best" / name, "mbf_tiny", **about), tmp_path / f"{name}.onnx")
        assert wanted in text and "| lfw |" not in text


def test_data_and_recipe_are_the_runs(card):
    text = card[1]
    assert "# my run" in text and "- data: faces: 10 images of 2 identities" in text and "- loss: arcface" in text
    assert "| `lr` | `0.2` |" in text and "| `network` | `'r\\|50'` |" in text
    assert "`seed`" not in text and "`output`" not in text


def test_its_code_runs_and_gives_the_models_embeddings(model, card, monkeypatch):
    hub, text = card
    monkeypatch.chdir(hub)
    code = re.search("```python\n(.*?)```", text, re.DOTALL)[1]
    faces = drawn_faces(2)
    code = re.sub(r"faces = np.zeros\((.*?), np.uint8\)", "assert given.shape == \\1\nfaces = given", code)
    names = {"given": faces}
    exec(code, names)
    wanted = load_backbone_embedder(model)(faces)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(names["embeddings"], wanted, atol=5e-3)
    np.testing.assert_allclose(names["cosines"], wanted @ wanted.T, atol=5e-3)


def test_figures_are_those_of_these_weights(tmp_path):
    model = make_model(tmp_path / "run", "mbf_tiny")
    result = {"cosine": 0.25, "accuracy": 0.975, "pairs": 6000, "same": 3000}
    store_thresholds(model, model_digest(model), {"lfw": result})
    text = run(model, tmp_path / "hub/model.onnx")
    assert "| lfw | 97.50% | 0.250 | 1.500 | 6,000 |" in text and "value: 0.975" in text and '"lfw"' in text
    assert 'license: "unknown"' in text and "give `--license`" in text and "there is no `run.json`" in text
    store_thresholds(model, "of other weights", {"lfw": result})
    assert "not verified yet" in run(model, tmp_path / "hub/model.onnx")


def test_names_are_shown_as_they_are_and_no_folders_of_this_machine(tmp_path):
    model = make_model(tmp_path / "best", "mbf_tiny", step=7)
    facts = {
        "name": "my <b>run</b>\n# `x`",
        "best": {"<i>lfw": {"accuracy": 0.98, "step": 7}},
        "summary": {"data": "/home/me/my faces/ms1mv3: 10 images of 2 identities"},
        "config": [["ofrecord_path", "'/home/me/ms1mv3'", True], ["teacher", "'a`<b'", True]],
    }
    (tmp_path / "run.json").write_text(json.dumps(FACTS | facts))
    out = tmp_path / "hub" / 'm"`<.onnx'
    run(model, out)
    shutil.copy(out, out.with_name(os.fsdecode(b"n\xe9.onnx")))
    text = run(model, out)
    assert "# my &lt;b>run&lt;/b> # \\`x\\`\n" in text and "| &lt;i>lfw | 98.00% | 7 |" in text
    assert "- data: ms1mv3: 10 images" in text and "| `ofrecord_path` | `'ms1mv3'` |" in text
    assert "| `teacher` | `'a'<b'` |" in text and "| `m\"'<.onnx` | fp32 |" in text
    assert "| `n\ufffd.onnx` | fp32 |" in text and 'InferenceSession("m\\"`<.onnx")' in text and "/home" not in text


def test_somebody_elses_readme_stays(model, tmp_path, capsys):
    (tmp_path / CARD).write_text("mine")
    assert run(model, tmp_path / "model.onnx") == "mine"
    assert f"{tmp_path / CARD} is not of export.py and stays as it is" in capsys.readouterr().out


def test_models_of_other_weights_are_not_on_the_card(model, tmp_path):
    other = make_model(tmp_path / "other", "mbf_tiny", seed=1)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/broken.onnx").write_bytes(b"nothing")
    run(other, tmp_path / "hub/other.onnx")
    assert "other.onnx" not in run(model, tmp_path / "hub/model.onnx")


def test_a_model_whose_metadata_lost_a_fact_is_not_on_the_card(model, tmp_path):
    run(model, tmp_path / "other.onnx")
    damaged = onnx.load(tmp_path / "other.onnx")
    damaged.metadata_props.remove(next(each for each in damaged.metadata_props if each.key == "network"))
    onnx.save(damaged, tmp_path / "damaged.onnx")
    text = run(model, tmp_path / "model.onnx")
    assert "other.onnx" in text and "damaged.onnx" not in text
