"""The scripts of examples/, as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.mxnet_sets import encode, picture
from tests.deploy.models import make_model

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments, **environment) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "examples" / script, *map(str, arguments)]
    return subprocess.run(
        command, env=os.environ | environment, timeout=280, text=True, capture_output=True, check=False
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), "mbf_tiny")


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for person in range(6):
        (folder / f"person {person}").mkdir()
        for number in range(4):
            (folder / f"person {person}" / f"{number}.jpg").write_bytes(encode(picture(10 * person + number)))
    return folder


def test_a_model_says_whether_two_pictures_are_of_one_person(model, people):
    pictures = [people / "person 0" / "0.jpg", people / "person 1" / "0.jpg"]
    same = run("use_a_model.py", model, pictures[0], pictures[0])
    assert same.returncode == 0 and same.stdout == "cosine 1.000: the same person\n", same.stderr
    strict = run("use_a_model.py", model, *pictures, "--threshold", "1")
    assert strict.returncode == 0 and strict.stdout.endswith(": two people\n"), strict.stderr
    missing = run("use_a_model.py", model / "nowhere", *pictures)
    assert missing.returncode == 2 and "nowhere" in missing.stderr and "Traceback" not in missing.stderr


def test_a_loss_is_compared_with_finite_differences():
    done = run("add_a_loss.py")
    assert done.returncode == 0 and done.stdout.count("slope 1.5000, by finite differences 1.5000") == 4, done.stderr


def test_fine_tuning_begins_with_the_model(model, people, tmp_path):
    keys = ["batch_size=8", "num_epoch=2", "freeze_backbone=2", "device=cpu", "num_workers=1"]
    done = run("fine_tune.py", model, people, "--out", tmp_path / "out", *keys, NPROC="1")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    log = (tmp_path / "out/run/training.log").read_text()
    assert str(model) in log and (tmp_path / "out/run/backbone.safetensors").exists()
    assert "6 identities" in log
