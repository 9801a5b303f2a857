"""A run of phases: what goes on between them, and runs that are taken up within and between them."""

import functools
import json
import re
import shutil

import numpy as np
import pytest

from tests.ranks import run_ranks
from utils.tensor_file import read_tensors

FLAT = "tests/engine/flat_worker.py"
# 48 images: 4 steps of 12, then 8 of 6 and 4 of 12.
PHASES = [
    {"num_epoch": 1, "loss": "cosface", "frozen": ("backbone.*",)},
    {
        "num_epoch": 1, "loss": "curricularface + 0.01 * center", "optimizer": "adamw(weight_decay=0.1)", "lr": 1e-3,
        "batch_size": 6,
    },
    {
        "num_epoch": 1, "loss": "curricularface + 0.01 * center", "optimizer": "adamw(weight_decay=0.1)", "lr": 1e-3,
        "lr_schedule": "constant", "sample_rate": 0.5, "lr_multipliers": {"backbone.*": 0.1},
    },
]  # fmt: skip
STEPS = 16


def run(ranks, config, output, *overrides, status=0):
    settings = ["network=flat", "val_targets=()", "frequent=1", "save_interval=1", "keep_checkpoints=99", "lr=0.1"]
    settings += ["batch_size=12", "warmup_epoch=0", "logit_scale=16", f"phases={PHASES}", f"output={output}"]
    return run_ranks(ranks, FLAT, str(config), *settings, *overrides, status=status)


def run_wrong(config, output, *overrides):
    printed = run(1, config, output, *overrides, status=2)
    assert "Traceback" not in printed
    return printed


def checkpoint(output, step):
    folder = output / "checkpoints" / f"step-{step:08d}"
    return {
        name: array for file in sorted(folder.glob("*.safetensors")) for name, array in read_tensors(file).items()
    } | {"phase": np.array(json.loads((folder / "checkpoint.json").read_text())["phase"])}


def lines(output):
    """Step -> loss and rate."""
    actual = re.findall(
        r"Loss ([\d.]+)   LearningRate ([\d.]+).*Global Step: (\d+)/", (output / "training.log").read_text()
    )
    return {int(step): (float(loss), float(rate)) for loss, rate, step in actual}


@pytest.fixture(scope="module")
def straight(config, tmp_path_factory):
    """(mode, store) -> output of an undisturbed run of one rank, made when first asked for."""

    @functools.cache
    def straight(mode, store="device"):
        output = tmp_path_factory.mktemp("straight")
        run(1, config, output, mode, f"head_store={store}")
        return output

    return straight


def test_each_phase_trains_as_it_says(straight):
    output = straight("--graph")
    first, second, third = (checkpoint(output, step) for step in (4, 12, STEPS))
    assert [int(kept["phase"]) for kept in (first, second, third)] == [0, 1, 2]
    assert not any(name.startswith("backbone.") for name in first)  # no slots: nothing of it trained
    np.testing.assert_array_equal(first["fc.weight"], checkpoint(output, 1)["fc.weight"])
    assert not np.array_equal(second["fc.weight"], first["fc.weight"])
    assert {"backbone.fc.weight/m", "backbone.fc.weight/v", "head.weight/m", "head.weight/v", "loss.t"} <= set(second)
    assert "class_means" not in first and second["class_means"].any()
    assert "head.weight/momentum" in first and "head.weight/momentum" not in second
    # Of the backbone 0 updates at the beginning of phase 2 and of the centers too: the optimizer is another.
    assert (second["updates"], second["center_updates"], third["updates"], third["center_updates"]) == (8, 8, 12, 12)
    seen = lines(output)
    assert set(seen) == set(range(1, STEPS + 1))
    rates = [seen[step][1] for step in (1, 5, 13, STEPS)]
    assert rates == [0.1, 0.001, 0.001, 0.001]  # each phase begins its schedule
    log = (output / "training.log").read_text()
    assert log.count("Phase 1 of 3: steps 0 to 4, loss cosface, sgd") == 1
    assert log.count("Phase 3 of 3: steps 12 to 16, loss curricularface + 0.01 * center, adamw") == 1
    epochs = [int(epoch) for epoch in re.findall(r"Epoch: (\d+)", log)]
    assert epochs == [0] * 4 + [1] * 8 + [2] * 4


def test_eager_phases_equal_compiled_ones(straight):
    compiled, eager = (checkpoint(straight(mode), STEPS) for mode in ("--graph", "--eager"))
    assert set(compiled) == set(eager)
    for name, expected in compiled.items():
        np.testing.assert_allclose(eager[name], expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max(), err_msg=name)


TAKEN_UP = [(mode, "device", step) for mode in ("--graph", "--eager") for step in (2, 4, 7, 12, 14)]


# Class centers in files are of one step alone, so a run ends where it is taken up.
@pytest.mark.parametrize(("mode", "store", "step"), [*TAKEN_UP, ("--graph", "mmap", 12)])
def test_a_run_that_is_taken_up_ends_with_the_same_bits(config, straight, tmp_path, mode, store, step):
    before = straight(mode, store)
    if store == "mmap":
        output = tmp_path / "mapped"
        run(1, config, output, mode, "head_store=mmap", f"phases={PHASES[:2]}")
        run(1, config, output, mode, "head_store=mmap", "resume=True")
    else:
        output, name = tmp_path / "again", f"step-{step:08d}"
        shutil.copytree(before / "checkpoints" / name, output / "checkpoints" / name)
        run(1, config, output, mode, "resume=True")
    expected, actual = checkpoint(before, STEPS), checkpoint(output, STEPS)
    assert set(actual) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)
    if store == "mmap":
        for array in ("weight", "m", "v"):
            file = f"head_store/{array}.npy"
            np.testing.assert_array_equal(np.load(output / file), np.load(before / file))


@pytest.mark.parametrize("step", [2, 7, 12])
def test_other_ranks_go_on(config, straight, tmp_path, step):
    before, name = straight("--graph"), f"step-{step:08d}"
    shutil.copytree(before / "checkpoints" / name, tmp_path / "checkpoints" / name)
    printed = run(2, config, tmp_path, "resume=True")
    assert "batch_size is now 6," in printed
    expected, actual = lines(before), lines(tmp_path)
    for at in range(step + 1, min(STEPS, 12) + 1):  # a sample is drawn by each rank from its own classes
        assert actual[at] == pytest.approx(expected[at], rel=2e-4)
    assert set(actual) == set(range(step + 1, STEPS + 1))


def test_another_optimizer_begins_from_scratch_and_says_so(config, straight, tmp_path):
    before, name = straight("--graph"), "step-00000007"
    shutil.copytree(before / "checkpoints" / name, tmp_path / "checkpoints" / name)
    other = [{**phase, "optimizer": "sgdw"} for phase in PHASES]
    printed = run(1, config, tmp_path, f"phases={other}", "resume=True")
    assert "was trained with adamw, adamw; this run goes on with sgdw, sgdw, whose state begins from scratch" in printed
    assert checkpoint(tmp_path, 8)["updates"] == checkpoint(tmp_path, 8)["center_updates"] == 1


def test_what_is_wrong_in_a_later_phase_is_said_at_once(config, straight, tmp_path):
    wrong = [{"num_epoch": 1}, {"num_epoch": 1, "frozen": ("backbone.nothing.*",)}]
    printed = run_wrong(config, tmp_path / "patterns", f"phases={wrong}")
    assert 'the pattern "backbone.nothing.*"' in printed and not (tmp_path / "patterns").exists()
    name = "step-00000014"
    shutil.copytree(straight("--graph") / "checkpoints" / name, tmp_path / "fewer" / "checkpoints" / name)
    printed = run_wrong(config, tmp_path / "fewer", f"phases={PHASES[:2]}", "resume=True")
    assert printed.count("error: ") == 1
