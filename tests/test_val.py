"""val.py as a user calls it, beyond a run's sets (tests/end_to_end): pair lists, saved embeddings, options."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation.bin_set import BinSet, write_bin
from tests.data.mxnet_sets import jpegs
from tests.deploy.models import make_model
from utils.errors import UserError
from val import main

ROOT = Path(__file__).resolve().parents[1]
ISSAME = [True, False] * 6


def val(*arguments, status=0):
    command = [sys.executable, "val.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr[-3000:]
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


def refusal(*arguments):
    with pytest.raises(UserError) as refused:
        main(list(map(str, arguments)))
    return str(refused.value)


def figures(said):
    """The lines without the set's name."""
    return [line.partition("]")[2] for line in said.splitlines() if line.startswith("[")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, a .bin set and a list of the same pairs."""
    folder = tmp_path_factory.mktemp("val")
    make_model(folder / "model", "mbf_tiny", 32)
    images = jpegs(24)
    write_bin(folder / "set.bin", images, ISSAME)
    (folder / "my faces").mkdir()
    for number, jpeg in enumerate(images):
        (folder / "my faces" / f"{number}.jpg").write_bytes(jpeg)
    lines = [f'"my faces/{2 * k}.jpg" "my faces/{2 * k + 1}.jpg" {int(same)}' for k, same in enumerate(ISSAME)]
    (folder / "list.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def said(folder):
    """Of the .bin set."""
    return val("--model_path", folder / "model", "val_targets=set", f"val_path={folder}", "--backend", "oneflow")


def test_a_list_of_the_same_pairs_says_the_same(folder, said, tmp_path):
    listed = val(
        "--model_path", folder / "model", "--pairs", folder / "list.txt", "--out", tmp_path, "--backend", "oneflow"
    )
    assert figures(listed) == figures(said) and len(figures(said)) == 9
    assert re.search(r"^\[set\]Accuracy-Flip: 0\.\d{5}\+-0\.\d{5}$", said, re.MULTILINE)
    assert "TAR@FAR=1e-01, 1e-02, 1e-03, 1e-04, 1e-05, 1e-06 (all pairs): n/a (needs 10 different pairs)" in said
    result = json.loads((tmp_path / "list.json").read_text())
    assert (result["pairs"], result["same"], result["pca"], len(result["folds"])) == (12, 6, 0, 10)
    assert result["hardest"][0]["images"][0].startswith("my faces/") and (tmp_path / "report.html").exists()


def test_saved_embeddings_in_place_of_a_model(folder, said, tmp_path):
    def embed(path, *source):
        command = [sys.executable, "tools/embed.py", *source, "--out", path, "--model_path", folder / "model"]
        options = ["--backend", "oneflow", "--device", "cpu", "--batch_size", "64"]
        subprocess.run([*command, *options], cwd=ROOT, check=True, capture_output=True)
        return path

    path = embed(tmp_path / "set.npy", folder / "set.bin")
    again = val("--embeddings", path, "val_targets=set", f"val_path={folder}")
    assert figures(again) == figures(said)
    listed = embed(tmp_path / "list.npy", folder / "list.txt", "--pairs")
    assert figures(val("--embeddings", listed, "--pairs", folder / "list.txt")) == figures(said)

    sets = ["val_targets=set,other", f"val_path={folder}"]
    write_bin(folder / "other.bin", jpegs(26)[2:], ISSAME)
    assert "are of one set" in refusal("--embeddings", path, *sets)
    assert "set's images are not those" in refusal("--embeddings", path, "val_targets=other", sets[1])
    write_bin(folder / "more.bin", jpegs(26), [True] * 13)
    assert "24 images, and the set is of 26" in refusal("--embeddings", path, "val_targets=more", sets[1])


def test_folds_and_pca(folder, tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(24, 1, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", rows)
    digest = BinSet.load(folder / "set.bin").digest()
    about = {"model": "noise", "count": 24, "flip": False, "embedding_size": 8, "digest": digest}
    (tmp_path / "x.json").write_text(json.dumps(about))
    command = ["--embeddings", tmp_path / "x.npy", "val_targets=set", f"val_path={folder}"]
    main([str(word) for word in (*command, "--folds", "3", "--pca", "2", "--out", tmp_path / "out")])
    assert "noise on " in capsys.readouterr().out
    result = json.loads((tmp_path / "out/set.json").read_text())
    assert (result["pca"], len(result["folds"])) == (2, 3)
    assert "set PCA 2" in (tmp_path / "out/report.html").read_text()
    assert "PCA to 9 components is not possible" in refusal(*command, "--pca", "9")
    assert "13 folds need at least 13 pairs" in refusal(*command, "--folds", "13")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [("0.jpg 1.jpg 2", "line 1: the label is '2'"), ("0.jpg 1.jpg", "line 1: 2 field"), ("0.jpg z.jpg 1", "line 1: ")],
)
def test_a_bad_list_is_named_by_line(folder, tmp_path, line, sentence):
    (tmp_path / "bad.txt").write_text(line)
    said = refusal("--pairs", tmp_path / "bad.txt", "--root", folder / "my faces")
    assert said.startswith(f"{tmp_path}/bad.txt, {sentence}")


def test_an_image_that_does_not_decode_is_named(folder, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(jpegs(1)[0][:300])
    (tmp_path / "bad.txt").write_text("bad.jpg bad.jpg 1\n" * 10)
    said = refusal("--model_path", folder / "model", "--pairs", tmp_path / "bad.txt")
    assert f"bad.txt, line 1: {tmp_path}/bad.jpg" in said


def test_a_refusal_is_one_sentence_and_status_2(folder):
    assert val("--pairs", folder / "none.txt", status=2).startswith(f"error: {folder}/none.txt cannot be read")


def test_a_root_without_a_list(folder):
    assert "needs --pairs" in refusal("--root", folder)
