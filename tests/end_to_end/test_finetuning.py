"""Starting from a trained model: new identities, a frozen backbone, and what does not fit."""

import functools
import shutil

import numpy as np
import pytest

from tests.ranks import run_ranks
from tools import import_weights
from train import main
from utils.errors import UserError
from utils.tensor_file import read_tensors

SETTINGS = ["val_targets=()", "save_interval=2", "keep_checkpoints=9", "warmup_epoch=0"]


def train(ranks, config, output, *overrides):
    return run_ranks(
        ranks, "train.py", str(config), f"batch_size={8 // ranks}", f"output={output}", *SETTINGS, *overrides
    )


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    train(1, config, output, "num_epoch=1")
    return output


def backbone(output, step):
    return read_tensors(output / "checkpoints" / f"step-{step:08d}" / "backbone.safetensors")


@pytest.fixture(scope="module")
def thawed(trained, config, tmp_path_factory):
    """(ranks, mode) -> output of a run whose backbone was frozen for 4 of its 12 steps, made when first asked for."""

    @functools.cache
    def tune(ranks, mode):
        output = tmp_path_factory.mktemp("thawed")
        train(ranks, config, output, mode, f"pretrained={trained}", "freeze_backbone=4")
        return output

    return tune


@pytest.mark.parametrize(("ranks", "mode"), [(1, "--graph"), (2, "--graph"), (2, "--eager")])
def test_a_frozen_backbone_stays_and_then_moves(trained, thawed, ranks, mode):
    output = thawed(ranks, mode)
    start, frozen, moving = read_tensors(trained / "backbone.safetensors"), backbone(output, 4), backbone(output, 6)
    for name, array in start.items():
        np.testing.assert_array_equal(frozen[name], array, err_msg=name)
    moved = [name for name, array in start.items() if not np.array_equal(moving[name], array)]
    assert {"fc.weight", "layers.0.0.weight", "features.running_mean"} <= set(moved)
    heads = [
        read_tensors(output / "checkpoints" / f"step-{n:08d}" / "rank-00000.safetensors")["head.weight"] for n in (2, 4)
    ]
    assert not np.array_equal(*heads)


def test_resuming_in_either_phase_is_the_same_to_the_last_bit(trained, thawed, config, tmp_path):
    straight = thawed(1, "--graph")
    for step in (2, 6):
        name = f"checkpoints/step-{step:08d}"
        shutil.copytree(straight / name, tmp_path / str(step) / name)
        settings = [f"pretrained={trained}", "freeze_backbone=4", "resume=True"]
        train(1, config, tmp_path / str(step), "--graph", *settings)
        expected, actual = backbone(straight, 12), backbone(tmp_path / str(step), 12)
        for tensor, array in expected.items():
            np.testing.assert_array_equal(actual[tensor], array, err_msg=tensor)


def test_a_backbone_frozen_by_resuming_keeps_its_momentum(trained, thawed, config, tmp_path):
    begun, frozen = "checkpoints/step-00000006", "checkpoints/step-00000008"
    shutil.copytree(thawed(1, "--graph") / begun, tmp_path / begun)
    train(1, config, tmp_path, "--graph", f"pretrained={trained}", "freeze_backbone=9", "resume=True")
    before, after = (read_tensors(tmp_path / name / "optimizer.safetensors") for name in (begun, frozen))
    momentum = [name for name in before if name.startswith("backbone.")]
    assert momentum and all(np.abs(before[name]).max() > 0 for name in momentum if name.endswith("fc.weight"))
    for name in momentum:
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)


def test_weights_of_others_are_trained_if_they_take_our_pixels(trained, config, tmp_path):
    """Of a network that its authors trained on BGR from 0 to 1."""
    arguments = [str(trained / "backbone.safetensors"), "--input", "BGR, x / 255", "--out"]
    import_weights.main([*arguments, str(tmp_path / "theirs")])
    import_weights.main([*arguments, str(tmp_path / "ours"), "--fold_input"])
    settings = ["batch_size=8", f"output={tmp_path / 'o'}", *SETTINGS]
    with pytest.raises(UserError, match=r"theirs takes RGB, .* x / 255, .* import it with --fold_input"):
        main([str(config), *settings, f"pretrained={tmp_path / 'theirs'}"])
    train(1, config, tmp_path / "o", f"pretrained={tmp_path / 'ours'}", "freeze_backbone=2", "num_epoch=1")
    start, frozen = read_tensors(tmp_path / "ours" / "backbone.safetensors"), backbone(tmp_path / "o", 2)
    assert all(np.array_equal(frozen[name], array) for name, array in start.items())


def test_a_head_to_start_from(trained, config, tmp_path):
    checkpoint = trained / "checkpoints" / "step-00000006"
    train(2, config, tmp_path, f"pretrained={trained}", f"pretrained_head={checkpoint}", "lr=1e-12", "num_epoch=1")
    parts = [
        read_tensors(tmp_path / "checkpoints" / "step-00000002" / f"rank-{r:05d}.safetensors")["head.weight"]
        for r in (0, 1)
    ]
    start = read_tensors(checkpoint / "rank-00000.safetensors")["head.weight"]
    np.testing.assert_allclose(np.concatenate(parts), start, atol=1e-7)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["embedding_size=32"], "has embedding_size 16, but this run has 32"),
        (["network=r18"], "has network mbf_tiny, but this run has r18"),
        (["pretrained=nowhere"], "there is no model at nowhere"),
        (["pretrained_head=nowhere"], "is not a whole checkpoint"),
    ],
)
def test_what_does_not_fit_is_said(trained, config, tmp_path, overrides, words):
    with pytest.raises(UserError, match=words):
        main([str(config), "batch_size=8", f"output={tmp_path / 'o'}", f"pretrained={trained}", *SETTINGS, *overrides])
    assert not (tmp_path / "o").exists()
