"""tools/face_quality.py as a user calls it."""

import csv
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from deploy.embedder import load_backbone_embedder
from deploy.images import drawn_faces
from tests.deploy.models import make_model
from tests.ranks import ROOT, rank_environment
from utils.config import load_config


def score(*arguments, status: int = 0) -> str:
    command = [sys.executable, "tools/face_quality.py", *map(str, arguments), "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, env=rank_environment(), capture_output=True, text=True, timeout=250)
    assert done.returncode == status, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for number, face in enumerate(drawn_faces(30)):
        cv2.imwrite(str(folder / f"a face {number:02}.png"), face[:, :, ::-1])
    return folder


def test_scores_and_the_loss_to_paste(folder, tmp_path):
    model, out = make_model(tmp_path / "model", "mbf_tiny", 16), tmp_path / "out"
    said = score(folder, "--model_path", model, "--out", out, "--magface", "--s", 32)
    rows = list(csv.DictReader((out / "quality.csv").open()))
    embedder = load_backbone_embedder(model)
    wanted = np.linalg.norm(embedder(drawn_faces(30)), axis=1)
    actual = np.array([float(row["magnitude"]) for row in sorted(rows, key=lambda row: int(row["number"]))])
    np.testing.assert_allclose(actual, wanted, rtol=1e-3)
    assert rows[0]["image"] == f"a face {wanted.argmin():02}.png"
    assert {path.name for path in out.iterdir()} >= {"quality.csv", "sheet.png", "histogram.png", "embeddings.npy"}
    pasted = re.search(r"'(loss=magface\(.*\))'", said)[1]
    assert load_config("base", [pasted, "synthetic=True", "num_classes=9", "num_image=999"]).loss == pasted[5:]

    again = tmp_path / "again"
    said = score(folder, "--embeddings", out / "embeddings.npy", "--out", again, "--magface", "--lambda_g", 1e-6)
    assert (again / "quality.csv").read_bytes() == (out / "quality.csv").read_bytes()
    assert "lambda_g = 1e-06 is below that" in said and "lambda_g=1e-06, s=64)" in said


def test_mistakes_are_sentences(folder, tmp_path):
    out = tmp_path / "out"
    assert "give either --model_path or --embeddings" in score(folder, "--out", out, status=2)
    assert "there is no model at" in score(folder, "--model_path", tmp_path / "none", "--out", out, status=2)
    np.save(tmp_path / "x.npy", np.ones((5, 1, 4), np.float32))
    said = score(folder, "--embeddings", tmp_path / "x.npy", "--out", out, status=2)
    assert said.startswith("error: ") and not out.exists()
