"""Runs that are taken up by other numbers of ranks, or after kill -9."""

import functools
import os
import random
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from engine.checkpoint import list_checkpoints, step_of
from tests.ranks import ROOT, launch_command, rank_environment, run_ranks
from utils.tensor_file import read_tensors

FLAT, SMALL_VIT = "tests/engine/flat_worker.py", "tests/engine/small_vit_worker.py"


def losses(output):
    """{step: loss}"""
    actual = re.findall(r"Loss ([\d.]+) .*Global Step: (\d+)/", (output / "training.log").read_text())
    return {int(step): float(loss) for loss, step in actual}


def run_flat(ranks, config, output, *overrides):
    settings = ["network=flat", "val_targets=()", "frequent=1", "save_interval=2", "keep_checkpoints=9"]
    return run_ranks(ranks, FLAT, str(config), *settings, f"output={output}", *overrides)


@pytest.fixture(scope="module")
def straight(config, tmp_path_factory):
    """(mode) -> output of a run of one rank, made when first asked for; 48 images are 4 steps of 12 per epoch."""

    @functools.cache
    def straight(mode):
        output = tmp_path_factory.mktemp("straight")
        run_flat(1, config, output, mode, "batch_size=12")
        return output

    return straight


@pytest.mark.parametrize("mode", ["--graph", "--eager"])
def test_any_number_of_ranks_goes_on(config, straight, tmp_path, mode):
    """1 rank -> 2 -> 3 -> 4 and 1 -> 2 -> 1, two steps each."""
    before = straight(mode)
    expected = losses(before)
    assert len(expected) == 8
    for step, ranks in ((2, 2), (4, 3), (6, 4)) if mode == "--graph" else ((2, 2), (4, 1)):
        output = tmp_path / f"{ranks}"
        name = f"step-{step:08d}"
        shutil.copytree(before / "checkpoints" / name, output / "checkpoints" / name)
        # The config's batch size is for 1 rank; the global batch is kept, and that is said.
        printed = run_flat(ranks, config, output, mode, "batch_size=12", "resume=True")
        wanted = 12 // ranks
        assert f"batch_size is now {wanted}," in printed or wanted == 12
        actual = losses(output)
        assert sorted(actual) == list(range(step + 1, 9))
        for number, loss in actual.items():
            assert loss == pytest.approx(expected[number], rel=1e-4), (ranks, number)
        before = output


@pytest.mark.parametrize("mode", ["--graph", "--eager"])
def test_with_all_centers_on_every_rank_the_numbers_are_the_same(config, straight, tmp_path, mode):
    """And a run that splits them over the ranks takes such a checkpoint up, and the other way round."""
    expected = losses(straight(mode))
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    run_flat(2, config, first, mode, "batch_size=6", "model_parallel=False")
    step = "checkpoints/step-00000004"
    run_flat(2, config, second, mode, "batch_size=6", f"resume={first / step}")
    run_flat(2, config, third, mode, "batch_size=6", f"resume={straight(mode) / step}", "model_parallel=False")
    for output, begin in ((first, 0), (second, 4), (third, 4)):
        actual = losses(output)
        assert sorted(actual) == list(range(begin + 1, 9))
        assert actual == pytest.approx({number: expected[number] for number in actual}, rel=1e-4)


def test_ranks_that_cannot_share_the_global_batch_are_refused(config, straight, tmp_path):
    settings = [str(config), "network=flat", "val_targets=()", f"output={tmp_path}", "gradient_acc=5"]
    resume = f"resume={straight('--graph') / 'checkpoints' / 'step-00000002'}"
    printed = run_ranks(2, FLAT, *settings, resume, status=2)
    assert printed.count("cannot share") == 1 and "Traceback" not in printed


@pytest.mark.parametrize("mode", ["--graph", "--eager"])
def test_what_layers_draw_goes_on_to_the_last_bit(config, tmp_path, mode):
    settings = [str(config), mode, "val_targets=()", "save_interval=5", "keep_checkpoints=9", "batch_size=4"]
    settings += ["network=small_vit", "dropout=0.4", "optimizer=adamw", "lr=0.001"]
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run_ranks(2, SMALL_VIT, *settings, f"output={whole}")
    run_ranks(2, SMALL_VIT, *settings, f"output={resumed}", f"resume={whole / 'checkpoints' / 'step-00000005'}")
    one, two = (output / "checkpoints" / "step-00000012" for output in (whole, resumed))
    for file in one.glob("*.safetensors"):
        actual = read_tensors(two / file.name)
        for name, array in read_tensors(file).items():
            np.testing.assert_array_equal(actual[name], array, err_msg=f"{file.name} {name}")


@pytest.mark.parametrize("whom", ["a rank", "all"])
def test_kill_9_loses_at_most_the_steps_since_the_last_checkpoint(config, tmp_path, whom):
    rng = random.Random(whom)
    output = tmp_path / "out"
    settings = [str(config), "network=flat", "val_targets=()", "batch_size=4", "num_epoch=5000", f"output={output}"]
    settings += ["save_interval=2", "frequent=1", "resume=True"]
    printed = ""
    for _ in range(3):
        process = subprocess.Popen(
            launch_command(2, FLAT, *settings),
            cwd=ROOT, env=rank_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        seen = max(losses(output), default=0) if (output / "training.log").exists() else 0
        deadline = time.time() + 120
        while not ((output / "training.log").exists() and max(losses(output), default=0) >= seen + 5):
            assert time.time() < deadline and process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.5))
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        assert len(children) == 2
        reached = max(losses(output))
        for pid in children[: 1 if whom == "a rank" else 2]:
            os.kill(int(pid), signal.SIGKILL)
        printed += process.communicate(timeout=60)[0]
        assert process.returncode != 0
        newest = step_of(list_checkpoints(output / "checkpoints")[-1])
        assert newest >= reached - 2
    steps = [int(step) for step in re.findall(r"Resuming from .*step-(\d+),", printed)]
    assert len(steps) == 2 and steps[0] < steps[1]
