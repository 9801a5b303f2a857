"""--dry_run: everything is checked, compiled and predicted, and nothing is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def dry_run(config, tmp_path):
    names = ("NPROC", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
    environ = {key: value for key, value in os.environ.items() if key not in names} | {"CUDA_VISIBLE_DEVICES": ""}

    def run(*overrides):
        program = [sys.executable, str(REPO / "tools/start_training.py"), str(config), "--dry_run", "batch_size=4"]
        command = [*program, f"output={tmp_path}/out", *overrides]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)

    return run


def test_it_says_what_the_run_has_and_takes(dry_run, dataset, tmp_path):
    done = dry_run()
    assert done.returncode == 0, done.stderr[-2000:]
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["data"] == f"{dataset}: 48 images of 12 identities in 4 parts"
    assert said["verification"] == "held_out (40 pairs)"
    assert said["steps"] == "12 in 2 epoch(s), 8 images each, on 2 cpu rank(s)"
    assert {"memory", "compiled", "time"} <= said.keys()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("val_targets=nowhere", "nowhere.bin"),
        ("fp16=True", "fp16=True with device = 'cpu'"),
        ("pretrained=nowhere", "nowhere is not there"),
        ("output=/dev/null/out", "cannot be written"),
        ("batch_size=30", "fewer images"),
    ],
)
def test_it_fails_as_the_run_would(override, sentence, dry_run):
    done = dry_run(override)
    assert (done.returncode, done.stdout.count("Nothing was trained")) == (2, 0)
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
