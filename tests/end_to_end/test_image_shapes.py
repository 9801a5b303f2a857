"""Networks of other image sizes, and of gray images: trained, verified by every backend, exported, and not confused."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest

from deploy.embedder import load_embedder
from deploy.images import drawn_faces
from tests.end_to_end.test_training import train
from tests.ranks import ROOT, rank_environment
from train import main
from utils.errors import UserError

SHAPE = ["image_size=(96, 80)", "gray=True"]


@pytest.fixture(scope="module")
def gray(config, tmp_path_factory):
    output = tmp_path_factory.mktemp("gray") / "out"
    train(2, config, output, *SHAPE, "num_epoch=1")
    return output


def test_a_run_says_what_its_model_takes(gray):
    about = json.loads((gray / "config.json").read_text())
    assert about["input"] == "gray, 96x80, (x / 255 - 0.5) / 0.5, NCHW float32"
    log = (gray / "training.log").read_text()
    assert "[held_out][6]Accuracy-Flip" in log


def test_every_backend_gives_the_same_embeddings(gray):
    faces = drawn_faces(5)
    own, onnx_made = (load_embedder(gray, backend=backend) for backend in ("oneflow", "onnx"))
    expected = own(faces)
    np.testing.assert_allclose(onnx_made(faces), expected, atol=1e-5 * np.abs(expected).max())
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_an_export_takes_the_same(gray, config):
    command = [sys.executable, "export.py", str(config), f"output={gray}"]
    done = subprocess.run(command, cwd=ROOT, env=rank_environment(), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    (taken,) = onnx.load(gray / "model.onnx").graph.input
    assert [side.dim_value for side in taken.type.tensor_type.shape.dim[1:]] == [1, 96, 80]
    faces = drawn_faces(3)
    expected = load_embedder(gray, backend="oneflow")(faces)
    np.testing.assert_allclose(load_embedder(gray / "model.onnx")(faces), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("key", ["pretrained", "resume"])
def test_a_model_of_another_shape_is_refused(gray, config, tmp_path, key):
    source = gray if key == "pretrained" else gray / "checkpoints" / "step-00000006"
    with pytest.raises(UserError, match=r"but this run (gives RGB, 112x112|has \[112, 112, 3\])"):
        main([str(config), "batch_size=8", f"output={tmp_path}", f"{key}={source}"])
