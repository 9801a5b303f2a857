"""Runs with sampled class centers, as a user starts and resumes them."""

import functools
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.ranks import run_ranks
from train import main
from utils.errors import UserError

FLAT = "tests/engine/flat_worker.py"
SETTINGS = [
    "network=flat", "synthetic=True", "num_classes=101", "num_image=96", "val_targets=()", "device=cpu", "frequent=1",
    "save_interval=4", "keep_checkpoints=9", "embedding_size=16", "num_epoch=2", "lr=0.02", "sample_rate=0.3",
]  # fmt: skip
HALVES = ("batch_size=6", "lr_schedule=multistep", "decay_epoch=(0.5,)")  # which do not depend on num_epoch


def run(ranks, output, *overrides, status=0):
    return run_ranks(ranks, FLAT, "configs/base.py", *SETTINGS, f"output={output}", *overrides, status=status)


def losses(output):
    actual = re.findall(r"Loss ([\d.]+) .*Global Step: (\d+)/", (output / "training.log").read_text())
    return {int(step): float(loss) for loss, step in actual}


def tensors(checkpoint):
    """Everything in a checkpoint's files by name, the class centers of all ranks one below the other."""
    actual = {**load_file(checkpoint / "backbone.safetensors"), **load_file(checkpoint / "optimizer.safetensors")}
    for shard in sorted(checkpoint.glob("rank-*.safetensors")):
        for name, rows in load_file(shard).items():
            actual[name] = np.concatenate([actual[name], rows]) if name in actual else rows
    return actual


def assert_same(one, other):
    one, other = tensors(one), tensors(other)
    assert one.keys() == other.keys() and one
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(settings) -> output of a run of 16 steps on 2 ranks, made when first asked for."""

    @functools.cache
    def whole(*how):
        output = tmp_path_factory.mktemp("whole")
        run(2, output, *how)
        assert len(losses(output)) == 16
        return output

    return whole


@pytest.mark.parametrize(
    "how",
    [
        ("--graph", *HALVES),
        ("--eager", "batch_size=3", "gradient_acc=2", "clip_grad_norm=0"),
        ("--graph", "batch_size=6", "head_dtype=float16", "correct_skipped=True"),
        ("--graph", "batch_size=3", "gradient_acc=2", "freeze_backbone=3"),
    ],
    ids=str,
)
def test_resumed_is_the_same_to_the_bit(whole, tmp_path, how):
    """4 steps and a stop, then the rest, against all of them in a row."""
    begun, last = "checkpoints/step-00000004", "checkpoints/step-00000016"
    shutil.copytree(whole(*how) / begun, tmp_path / begun)
    run(2, tmp_path, *how, "resume=True")
    assert_same(whole(*how) / last, tmp_path / last)


def test_centers_in_files_train_and_resume_as_those_in_memory(whole, tmp_path):
    """Also where the run's folder has been moved meanwhile, and as the start of other heads."""
    run(2, tmp_path / "begun", *HALVES, "head_store=mmap", "num_epoch=1")
    (tmp_path / "begun").rename(tmp_path / "files")
    run(2, tmp_path / "files", *HALVES, "head_store=mmap", "resume=True")
    assert sorted(losses(tmp_path / "files")) == list(range(1, 17))
    last = "checkpoints/step-00000016"
    expected = tensors(whole("--graph", *HALVES) / last)["head.weight"]
    np.testing.assert_array_equal(np.load(tmp_path / "files" / "head_store" / "weight.npy"), expected)
    assert "head.weight" not in tensors(tmp_path / "files" / last)

    # the full layer, in memory, goes on from them
    shutil.copytree(tmp_path / "files" / last, tmp_path / "full" / last)
    run(2, tmp_path / "full", *HALVES, "sample_rate=1.0", "num_epoch=3", "resume=True")
    assert sorted(losses(tmp_path / "full")) == list(range(17, 25))

    # and so does a run that starts from them in the same place
    start = [f"pretrained_head={tmp_path / 'files' / last}", "lr=1e-12", "batch_size=6", "num_epoch=1"]
    run(2, tmp_path / "files", *start, "head_store=mmap", "head_dtype=float16")
    actual = np.load(tmp_path / "files" / "head_store" / "weight.npy")
    assert actual.dtype == np.float16
    np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=1e-4)

    # without them there is nothing to go on from
    shutil.rmtree(tmp_path / "files" / "head_store")
    shutil.rmtree(tmp_path / "files" / "head_store.previous")
    printed = run(2, tmp_path / "files", "batch_size=6", "head_store=mmap", "resume=True", "num_epoch=2", status=2)
    assert "are gone or of another run" in printed and "Traceback" not in printed


def test_another_number_of_ranks_goes_on(config, tmp_path):
    """With every class in the sample, so that ranks see the same classes."""

    def train(ranks, output, *overrides):
        settings = ["network=flat", "val_targets=()", "frequent=1", "save_interval=2", "keep_checkpoints=9"]
        settings += ["head_store=host", "batch_size=12", f"output={output}"]
        run_ranks(ranks, FLAT, str(config), *settings, *overrides)

    train(1, tmp_path / "one")
    expected = losses(tmp_path / "one")
    checkpoint = "checkpoints/step-00000004"
    shutil.copytree(tmp_path / "one" / checkpoint, tmp_path / "three" / checkpoint)
    train(3, tmp_path / "three", "resume=True")
    actual = losses(tmp_path / "three")
    assert sorted(actual) == list(range(5, 9))
    for step, loss in actual.items():
        assert loss == pytest.approx(expected[step], rel=1e-4)


def test_replicated_centers_train_as_split_ones_and_resume_to_the_bit(tmp_path):
    settings = ["batch_size=6", "sample_rate=1.0", "num_epoch=1"]
    run(2, tmp_path / "split", *settings)
    run(2, tmp_path / "replicated", *settings, "model_parallel=False")
    one, other = losses(tmp_path / "split"), losses(tmp_path / "replicated")
    assert one.keys() == other.keys()
    for step, loss in one.items():
        assert other[step] == pytest.approx(loss, rel=1e-4)
    begun, last = "checkpoints/step-00000004", "checkpoints/step-00000008"
    shutil.copytree(tmp_path / "replicated" / begun, tmp_path / "resumed" / begun)
    run(2, tmp_path / "resumed", *settings, "model_parallel=False", "resume=True")
    assert_same(tmp_path / "replicated" / last, tmp_path / "resumed" / last)


def test_replicated_centers_cannot_be_sampled(tmp_path):
    with pytest.raises(UserError, match="every rank would hold all class centers"):
        main(["configs/base.py", *SETTINGS, "network=mbf_tiny", f"output={tmp_path}", "model_parallel=False"])
