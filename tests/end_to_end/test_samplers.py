"""Runs under samplers: taken up within a phase and on other ranks, and batches that a later phase could not make."""

import shutil

import numpy as np
import pytest

from tests.end_to_end.test_phases import checkpoint, lines, run

# 48 images of 12 identities, 4 of each: 4 steps of 12, then 8 of 6.
PHASES = [
    {"num_epoch": 1, "sampler": "balanced(images=4)", "loss": "arcface + 0.5 * triplet"},
    {"num_epoch": 1, "sampler": "balanced(images=2)", "batch_size": 6, "loss": "arcface + 2 * triplet"},
]


@pytest.fixture(scope="module")
def straight(config, tmp_path_factory):
    output = tmp_path_factory.mktemp("straight")
    printed = run(1, config, output, f"phases={PHASES}")
    assert "Each global batch: 4 images each of 3 classes; of 12 classes 12 have 4 images or more" in printed
    assert "Each global batch: 2 images each of 3 classes" in printed
    return output


@pytest.mark.parametrize(("ranks", "step"), [(1, 3), (1, 6), (2, 3), (3, 6)])
def test_a_run_is_taken_up_with_the_same_batches(config, straight, tmp_path, ranks, step):
    name = f"step-{step:08d}"
    shutil.copytree(straight / "checkpoints" / name, tmp_path / "checkpoints" / name)
    run(ranks, config, tmp_path, f"phases={PHASES}", "resume=True")
    expected, actual = lines(straight), lines(tmp_path)
    assert set(actual) == set(range(step + 1, 13))
    for at in actual:
        assert actual[at] == pytest.approx(expected[at], rel=2e-4)
    if ranks == 1:
        for each, array in checkpoint(straight, 12).items():
            np.testing.assert_array_equal(checkpoint(tmp_path, 12)[each], array, err_msg=each)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"sampler": "balanced(images=5)"}, "of 12 is not divided by images = 5"),
        ({"sampler": "balanced(images=4)", "batch_size": 10, "gradient_acc": 2}, "micro-batch of 10 is not divided by"),
        ({"sampler": "balanced(images=3)", "batch_size": 39}, "takes 13 classes of at least 3 images"),
        ({"sampler": "balanced(images=2.5)"}, "images = 2.5 of balanced is not possible"),
        ({"sampler": "weighted(path='nowhere.npy')"}, "no .npy file that can be read"),
    ],
)
def test_a_later_phase_is_checked_before_the_first_step(config, tmp_path, second, words):
    printed = run(1, config, tmp_path, f"phases={[{'num_epoch': 1}, second]}", status=2)
    assert words in printed and "Traceback" not in printed and not list(tmp_path.iterdir())
