"""A set of 96x112 images all the way, of which no option speaks: converted, trained on, verified and exported."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import val
from deploy.embedder import load_embedder
from evaluation.bin_set import BinSet, write_bin
from evaluation.sources import RecordImages, open_source
from preparation.convert.to_ofrecord import Settings, convert
from tests.data.mxnet_sets import jpegs, write_set
from tests.ranks import ROOT, rank_environment, run_ranks
from utils.config import load_config

SIZE = (96, 112)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sizes")
    write_set(folder / "rec", jpegs(16, SIZE), [float(k // 2) for k in range(16)], 8, size=SIZE)
    write_bin(folder / "rec/held_out.bin", jpegs(80, SIZE), [k % 2 == 0 for k in range(40)])
    convert(Settings(folder / "rec", folder / "of", num_part=2))
    return folder / "of"


@pytest.fixture(scope="module")
def config(dataset) -> Path:
    path = dataset.parent / "wide.py"
    path.write_text(
        "from easydict import EasyDict as edict\n"
        "config = edict(network='mbf_tiny', embedding_size=16, num_epoch=1, batch_size=8, lr=0.02, warmup_epoch=0,\n"
        f"    ofrecord_path={str(dataset)!r}, val_targets=('held_out',), device='cpu', num_workers=1,\n"
        "    augment={'crop': 0.5, 'crop_pad': 0.5, 'low_resolution': 0.5, 'cutout': 0.5})\n"
    )
    return path


@pytest.fixture(scope="module")
def run(config, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("run") / "out"
    run_ranks(1, "train.py", str(config), f"output={output}")
    return output


def test_the_network_takes_the_sets_size(run):
    assert load_config(run / "config.py").image_size == SIZE
    log = (run / "training.log").read_text()
    assert re.search(r"\[held_out\]\[2\]Accuracy-Flip", log) and re.search(r"image_size: +\(96, 112\)", log)
    assert '"input": "RGB, 96x112, ' in (run / "config.json").read_text()


def test_val_and_embed(run, config, dataset, tmp_path, capsys):
    val.main([str(config), "--model_path", str(run), "--out", str(tmp_path)])
    assert "[held_out]Accuracy-Flip" in capsys.readouterr().out
    assert (tmp_path / "held_out.json").exists()
    command = [
        sys.executable,
        "tools/embed.py",
        str(dataset),
        "--model_path",
        str(run),
        "--out",
        str(tmp_path / "x.npy"),
    ]
    done = subprocess.run(command, cwd=ROOT, env=rank_environment(), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    expected = load_embedder(run)(RecordImages(dataset).decode(0, 16))
    np.testing.assert_allclose(np.load(tmp_path / "x.npy")[:, 0], expected, atol=1e-4 * np.abs(expected).max())


def test_the_export_takes_the_same(run, config, dataset):
    command = [sys.executable, "export.py", str(config), f"output={run}"]
    done = subprocess.run(command, cwd=ROOT, env=rank_environment(), capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert f"on {dataset / 'held_out.bin'}" in done.stdout
    (taken,) = onnx.load(run / "model.onnx").graph.input
    assert [side.dim_value for side in taken.type.tensor_type.shape.dim[1:]] == [3, *SIZE]
    faces = BinSet.load(dataset / "held_out.bin").decode(0, 4)
    expected = load_embedder(run, backend="oneflow")(faces)
    np.testing.assert_allclose(load_embedder(run / "model.onnx")(faces), expected, atol=1e-5 * np.abs(expected).max())


def test_a_network_may_take_another_size_than_the_set(config, dataset, tmp_path):
    run_ranks(2, "train.py", str(config), f"output={tmp_path}", "batch_size=4", "image_size=64", "val_targets=()")
    assert load_embedder(tmp_path).input.size == (64, 64)
    assert load_embedder(tmp_path)(open_source(dataset).decode(0, 2)).shape == (2, 16)
