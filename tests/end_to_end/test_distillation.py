"""From a teacher's weights to a student: rows by the tool, runs that are taken up, and a teacher that runs along."""

import functools
import json
import re
import shutil

import numpy as np
import pytest

from deploy.embedder import load_backbone_embedder
from deploy.onnx_convert import to_onnx
from evaluation.sources import RecordImages
from tests.deploy.models import make_model
from tests.end_to_end.test_phases import checkpoint, lines, run
from tests.tools.test_embed import embed
from utils.tensor_file import read_tensors

SIZE, STEPS = 24, 12  # of the student 16
PHASES = [
    {"num_epoch": 1, "sampler": "balanced(images=2)"},
    {"num_epoch": 1, "loss": "arcface", "optimizer": "adamw"},
    {"num_epoch": 1, "loss": "arcface + 20 * distillation", "lr_multipliers": {"projection.*": 2}},
]
DISTILLING = ("loss=arcface + 7 * distillation", f"phases={PHASES}")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("teacher") / "model", "mbf_tiny", SIZE)


@pytest.fixture(scope="module")
def rows(model, dataset):
    out = model.parent / "rows.npy"
    said = embed(dataset, "--model_path", model, "--out", out, "--dtype", "float16")
    assert f"({48}, 2, {SIZE}) float16 of {dataset}" in said
    return out


@pytest.fixture(scope="module")
def straight(config, rows, tmp_path_factory):
    @functools.cache
    def straight(mode):
        output = tmp_path_factory.mktemp("straight")
        run(1, config, output, mode, *DISTILLING, f"teacher={rows}")
        return output

    return straight


def test_rows_are_the_teachers_by_record(model, dataset, rows):
    images = RecordImages(dataset).decode(0, 48)
    embedder, held = load_backbone_embedder(model), np.load(rows)
    assert held.dtype == np.float16
    for view, pixels in enumerate((images, np.ascontiguousarray(images[:, :, ::-1]))):
        wanted = embedder(pixels)
        assert np.abs(held[:, view] - wanted).max() < 2e-3 * np.abs(wanted).max()
    again = embed(dataset, "--model_path", model, "--out", rows, status=2)
    assert "holds embeddings with dtype = float16, and now it is float32" in again


def test_the_projection_trains_and_stays_out_of_the_model(straight):
    output = straight("--graph")
    first, before, after, last = (checkpoint(output, step) for step in (1, 4, 8, STEPS))
    name = "projection.weight/value"
    assert first[name].shape == (SIZE, 16) and {"projection.weight/momentum"} <= set(before)
    assert np.abs(before[name] - first[name]).max() > 1e-3 and np.abs(last[name] - before[name]).max() > 1e-3
    np.testing.assert_array_equal(after[name], before[name])  # the second phase has no teacher
    assert set(read_tensors(output / "backbone.safetensors")) == {"fc.weight", "fc.bias"}
    actual = re.findall(r"   distillation: ([\d.]+)", (output / "training.log").read_text())
    distances = [float(distance) for distance in actual]
    assert len(distances) == 8 and distances[-1] < distances[0] - 0.1


def test_eager_equals_compiled(straight):
    compiled, eager = (checkpoint(straight(mode), STEPS) for mode in ("--graph", "--eager"))
    assert set(compiled) == set(eager)
    for name, expected in compiled.items():
        np.testing.assert_allclose(eager[name], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize(("mode", "step"), [("--graph", 2), ("--graph", 4), ("--graph", 6), ("--eager", 10)])
def test_a_run_that_is_taken_up_ends_with_the_same_bits(config, rows, straight, tmp_path, mode, step):
    name = f"step-{step:08d}"
    shutil.copytree(straight(mode) / "checkpoints" / name, tmp_path / "checkpoints" / name)
    run(1, config, tmp_path, mode, *DISTILLING, f"teacher={rows}", "resume=True")
    expected, actual = (checkpoint(output, STEPS) for output in (straight(mode), tmp_path))
    assert set(actual) == set(expected)
    for each, array in expected.items():
        np.testing.assert_array_equal(actual[each], array, err_msg=each)


@pytest.mark.parametrize("ranks", [2, 3])
def test_other_ranks_go_on(config, rows, straight, tmp_path, ranks):
    shutil.copytree(straight("--graph") / "checkpoints" / "step-00000002", tmp_path / "checkpoints" / "step-00000002")
    run(ranks, config, tmp_path, *DISTILLING, f"teacher={rows}", "resume=True")
    expected, actual = lines(straight("--graph")), lines(tmp_path)
    assert set(actual) == set(range(3, STEPS + 1))
    for at in actual:
        assert actual[at] == pytest.approx(expected[at], rel=3e-4)


@pytest.mark.parametrize(("kind", "mode"), [("onnx", "--graph"), ("weights", "--graph"), ("weights", "--eager")])
def test_a_teacher_that_runs_along_says_what_its_rows_say(config, model, straight, tmp_path, kind, mode):
    teacher = model
    if kind == "onnx":
        teacher = tmp_path / "teacher.onnx"
        teacher.write_bytes(to_onnx(load_backbone_embedder(model).network).SerializeToString())
    run(2, config, tmp_path / "out", mode, *DISTILLING, f"teacher={teacher}", "batch_size=6")
    assert set(checkpoint(tmp_path / "out", STEPS)) == set(checkpoint(straight("--graph"), STEPS))
    expected, actual = lines(straight("--graph")), lines(tmp_path / "out")
    for at in (1, 2, 3, 4):
        assert actual[at] == pytest.approx(expected[at], rel=3e-3)  # rows in float16


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("loss=arcface + distillation",), "with teacher = None"),
        (("loss=arcface", "teacher={rows}"), "has no use in loss = 'arcface'"),
        (("loss=arcface + distillation", "teacher={tmp}/none"), "there is no teacher at"),
        (("loss=arcface + distillation", "teacher={tmp}/none.onnx"), "there is no teacher at"),
        (("loss=arcface + distillation", "teacher={tmp}/none.npy"), "none.npy are not there"),
        (("loss=arcface + distillation", "teacher={tmp}/other.npy"), "holds the embeddings of 47 images"),
        (("loss=arcface + distillation", "teacher={tmp}/same.npy"), "and the set's images are not those"),
        (("loss=arcface + distillation", "teacher={tmp}"), "there is no model at"),
        (("loss=arcface + distillation", "teacher={rows}", "frozen=projektion.*"), "no parameter is called"),
    ],
)
def test_mistakes_are_one_sentence_before_the_first_step(config, rows, tmp_path, overrides, words):
    for name, count, digest in (("other", 47, None), ("same", 48, "another")):
        np.save(tmp_path / f"{name}.npy", np.zeros((count, 1, SIZE), np.float32))
        about = json.loads(rows.with_suffix(".json").read_text()) | {"count": count, "flip": False, "dtype": "float32"}
        del about["crc32"]  # as those written by earlier versions
        text = json.dumps(about)
        (tmp_path / f"{name}.json").write_text(text if digest is None else text.replace('"digest": "', '"digest": "x'))
    stated = [word.format(rows=rows, tmp=tmp_path) for word in overrides]
    printed = run(1, config, tmp_path / "out", "phases=()", *stated, status=2)
    assert words in printed and "Traceback" not in printed and not (tmp_path / "out").exists()
