"""tools/eval_ijb.py as a user calls it, from crops and a model to figures, and every mistake reported in a sentence."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from deploy.embedder import load_backbone_embedder
from evaluation.align import align
from evaluation.results import read_result
from evaluation.templates import ALL_SETTINGS
from preparation.drawn.ijb import DemoIjb, make_demo_ijb
from tests.deploy.models import make_model
from tests.evaluation.ijb_files import write_small_ijb
from tests.evaluation.ijb_naive import NaiveIjb
from tests.ranks import ROOT, rank_environment
from tools.eval_ijb import main
from utils.errors import UserError


def evaluate(*arguments, status: int = 0) -> str:
    """What it prints; with another status its last line on stderr."""
    command = [sys.executable, "tools/eval_ijb.py", *map(str, arguments), "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, env=rank_environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr[-3000:]
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("release")
    make_demo_ijb(root, DemoIjb("IJBC", people=6, seed=0))
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("run") / "a model", "mbf_tiny", 16)


@pytest.fixture(scope="module")
def evaluated(release, model, tmp_path_factory):
    """The folder of results, and what was printed."""
    out = tmp_path_factory.mktemp("out")
    return out, evaluate("--data", release, "--model_path", model, "--out", out)


def agrees(result: dict, release: Path, embeddings: np.ndarray) -> None:
    naive = NaiveIjb(release, "IJBC", embeddings, result["setting"])
    assert result["tar_at_far"] == {f"1e-0{power}": naive.tar(10.0**-power) for power in range(1, 7)}
    assert result["identification"] == pytest.approx(naive.identification(["G1", "G2"]), abs=1e-12)


def test_embeddings_are_those_of_aligned_crops_and_their_mirror_images(evaluated, release, model):
    actual = np.load(evaluated[0] / "IJBC.npy")
    lines = (release / "IJBC/meta/ijbc_name_5pts_score.txt").read_text().splitlines()
    assert actual.shape == (len(lines), 2, 16) and actual.dtype == np.float32
    faces = []
    for name, *numbers in (line.split() for line in lines[::7]):
        picture = cv2.imread(str(release / "IJBC/loose_crop" / name))[:, :, ::-1]
        faces.append(align(np.ascontiguousarray(picture), np.float32(numbers[:10]).reshape(5, 2)))
    faces, embedder = np.stack(faces), load_backbone_embedder(model)
    wanted = np.stack([embedder(faces), embedder(np.ascontiguousarray(faces[:, :, ::-1]))], axis=1)
    assert np.abs(actual[::7] - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_figures_are_as_defined_and_written_in_all_forms(evaluated, release, model):
    out, said = evaluated
    assert {path.name for path in out.iterdir()} == {
        "IJBC.npy",
        "IJBC.json",
        *(f"IJBC_N1D1F2.{kind}" for kind in ("json", "csv", "md")),
    }
    result = read_result(out / "IJBC_N1D1F2.json")
    agrees(result, release, np.load(out / "IJBC.npy"))
    assert (result["kind"], result["name"], result["model"]) == ("ijb", "IJBC", str(model))
    assert (result["pairs"], result["same"], result["setting"]) == (6 * 18, 18, "N1D1F2")
    assert result["galleries"]["G1"]["mated"] == result["galleries"]["G2"]["without_mate"] == 9
    assert f"{result['tar_at_far']['1e-01']:.2%}" in said and f"{result['identification']['rank-1']:.2%}" in said
    assert "there are 90; 1e-02 needs 100, 1e-03 needs 1,000" in said and "9 in G1, 9 in G2" in said
    with (out / "IJBC_N1D1F2.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["tar_at_far_1e-01"]) == result["tar_at_far"]["1e-01"] and row["tar_at_far_1e-06"] == ""
    assert "n/a (needs 1,000,000 different pairs)" in (out / "IJBC_N1D1F2.md").read_text()


def test_saved_embeddings_in_all_settings_without_crops(evaluated, release, tmp_path, capsys):
    shutil.copytree(release / "IJBC/meta", tmp_path / "IJBC/meta")
    path = evaluated[0] / "IJBC.npy"
    main(["--data", str(tmp_path), "--embeddings", str(path), "--out", str(tmp_path / "out"), "--all_settings"])
    said = capsys.readouterr().out
    results = [read_result(file) for file in (tmp_path / "out").glob("*.json")]
    assert {result["setting"] for result in results} == set(map(str, ALL_SETTINGS))
    for result in results:
        agrees(result, release, np.load(path))
        assert result["setting"] in said
    before = read_result(evaluated[0] / "IJBC_N1D1F2.json")
    after = read_result(tmp_path / "out/IJBC_N1D1F2.json")
    named = {"model": None, "about": None}  # what the model is called, when it was judged, and where the data lay
    assert {**after, **named} == {**before, **named}


def test_several_processes_share_the_pass_and_nothing_is_embedded_twice(evaluated, release, model, tmp_path):
    kept = tmp_path / "kept.npy"
    arguments = ("--data", release, "--model_path", model, "--embeddings", kept, "--out", tmp_path / "out")
    evaluate(*arguments, "--nproc", 2, "--setting", "N0D0F1", "--no_identification")
    expected = np.load(evaluated[0] / "IJBC.npy")
    np.testing.assert_allclose(np.load(kept), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    result = read_result(tmp_path / "out/IJBC_N0D0F1.json")
    assert result["identification"] == {} and result["tar_at_far"]["1e-01"] is not None
    stamp = kept.stat().st_mtime_ns
    evaluate(*arguments)
    assert kept.stat().st_mtime_ns == stamp


def refuses(sentence: str, *arguments) -> None:
    """As the command does, in this process."""
    with pytest.raises(UserError, match=re.escape(sentence)):
        main([*map(str, arguments)])


@pytest.fixture
def small(tmp_path):
    """A release with embeddings, that a test spoils."""
    write_small_ijb(tmp_path)
    save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(6, 2, 4)))
    return tmp_path


def save(path: Path, embeddings: np.ndarray) -> None:
    np.save(path, embeddings.astype(np.float32))
    count, views, size = embeddings.shape
    path.with_suffix(".json").write_text(json.dumps({"count": count, "flip": views == 2, "embedding_size": size}))


def replace_line(path: Path, number: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("file", "line", "text", "sentence"),
    [
        ("name_5pts_score.txt", 2, "2.jpg 1 2 3", "line 2 has 4 columns, not 12"),
        ("template_pair_label.txt", 3, "3 8 0", "line 3: template 8 has no images in face_tid_mid"),
        (
            "template_pair_label.txt",
            3,
            "3 9 2",
            "line 3: the label is 2, neither 0 (different people) nor 1",
        ),
        ("1N_probe_mixed.csv", 2, "8,1", "line 2: template 8 has no images"),
    ],
)
def test_a_bad_line(small, file, line, text, sentence):
    replace_line(small / "IJBC/meta" / f"ijbc_{file}", line, text)
    refuses(sentence, "--data", small, "--embeddings", small / "x.npy")


def test_crops_that_are_missing_or_damaged(small, model):
    crop = small / "IJBC/loose_crop/3.jpg"
    arguments = ("--data", small, "--model_path", model, "--out", small / "out")
    crop.write_bytes(crop.read_bytes()[:60])
    assert f"name_5pts_score.txt, line 3: {crop} is no image that decodes" in evaluate(*arguments, status=2)
    crop.unlink()
    assert f"name_5pts_score.txt, line 3: {crop} cannot be read" in evaluate(*arguments, status=2)
    assert not (small / "out/IJBC.npy").exists()


@pytest.mark.parametrize(
    ("embeddings", "sentence"),
    [
        (np.ones((5, 2, 4)), "the embeddings are (5, 2, 4); IJBC has 6 images"),
        (np.ones((6, 1, 4)), "N1D1F2 needs embeddings of the mirror images"),
        (np.full((6, 2, 4), np.nan), "x.npy holds numbers that are not finite"),
        (None, "x.npy are not there"),
    ],
)
def test_embeddings_that_do_not_fit(small, embeddings, sentence):
    if embeddings is None:
        (small / "x.npy").unlink()
    else:
        save(small / "x.npy", embeddings)
    refuses(sentence, "--data", small, "--embeddings", small / "x.npy")


def test_a_release_without_1n_files(small):
    for file in small.glob("IJBC/meta/*_1N_*"):
        file.unlink()
    arguments = ("--data", small, "--embeddings", small / "x.npy")
    assert "gallery_G1.csv is missing" in evaluate(*arguments, status=2)
    main([*map(str, arguments), "--no_identification"])
    assert read_result(small / "x_ijb/IJBC_N1D1F2.json")["galleries"] == {}


def test_results_are_beside_a_model_in_the_folder_one_is_in(small, model, monkeypatch):
    shutil.copytree(model, small / "run/a model")
    monkeypatch.chdir(small / "run")
    refuses(f"there is no model at {small}/run/backbone.safetensors", "--data", small, "--model_path", ".")
    monkeypatch.chdir("a model")
    main(["--data", str(small), "--model_path", ".", "--device", "cpu"])
    result = read_result(small / "run/a model_ijb/IJBC_N1D1F2.json")
    assert result["model"] == str(small / "run/a model")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "give --model_path, or --embeddings"),
        (("--embeddings", "x.npy", "--setting", "N1"), "the setting 'N1' is not possible"),
        (("--embeddings", "x.npy"), "there is no folder"),
        (("--embeddings", "x.npy", "--force"), "--force embeds again, which takes a --model_path"),
    ],
)
def test_arguments_that_cannot_be(tmp_path, arguments, sentence):
    refuses(sentence, "--data", tmp_path, *arguments)
