"""Runs that end after an epoch because a user asked for it, by a file or a signal to the launcher, and go on later."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np

from tests.ranks import ROOT, launch_command, rank_environment, run_ranks
from utils.tensor_file import read_tensors

FLAT = "tests/engine/flat_worker.py"
SETTINGS = ["network=flat", "val_targets=()", "frequent=1", "num_epoch=3", "warmup_epoch=0", "logit_scale=16"]


def steps(output):
    return [int(step) for step in re.findall(r"Global Step: (\d+)/12", (output / "training.log").read_text())]


def weights(output):
    return read_tensors(output / "backbone.safetensors")


def test_a_file_ends_two_ranks_after_the_epoch_and_resuming_ends_as_if_nothing_was(config, tmp_path):
    whole, output = tmp_path / "whole", tmp_path / "out"
    run_ranks(2, FLAT, str(config), *SETTINGS, "batch_size=6", f"output={whole}")
    output.mkdir()
    (output / "stop_after_epoch").touch()
    command = [str(config), *SETTINGS, "batch_size=6", f"output={output}"]
    printed = run_ranks(2, FLAT, *command)
    assert steps(output) == [1, 2, 3, 4] and not (output / "stop_after_epoch").exists()
    assert "this run ends after its first epoch" in printed and "Ended after epoch 0, at step 4, as asked" in printed
    assert [path.name for path in (output / "checkpoints").iterdir()] == ["step-00000004"]
    run_ranks(2, FLAT, *command, "resume=True")
    assert steps(output) == list(range(1, 13))
    for name, expected in weights(whole).items():
        np.testing.assert_array_equal(weights(output)[name], expected, err_msg=name)


def test_a_signal_to_the_launcher_reaches_the_ranks_from_their_first_moment_on(config, tmp_path):
    command = launch_command(2, FLAT, str(config), *SETTINGS, "batch_size=6", f"output={tmp_path}")
    process = subprocess.Popen(
        command, cwd=ROOT, env=rank_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not children(process.pid):
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGUSR1)
        printed = process.communicate(timeout=200)[0]
    finally:
        process.kill()
    assert process.returncode == 0, printed[-3000:]
    assert printed.count("Stopping after this epoch") == 1
    assert steps(tmp_path) == [1, 2, 3, 4] and "resume=True goes on" in printed


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
