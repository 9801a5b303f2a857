"""train.py and val.py as a user runs them, on 1 and 2 ranks."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import val
from data.manifest import read_index
from data.ofrecord import index_path
from data.samplers.shuffle import shuffled_records
from engine.checkpoint import list_checkpoints
from pages.charts import short
from tests.pages.html import Page
from tests.ranks import ROOT, launch_command, rank_environment, run_ranks
from train import main
from utils.config import load_config
from utils.errors import UserError
from utils.tensor_file import read_tensors


def train(ranks, config, output, *overrides, status=0):
    return run_ranks(
        ranks, "train.py", str(config), f"batch_size={8 // ranks}", f"output={output}", *overrides, status=status
    )


WAYS = [(1, "graph"), (2, "graph"), (1, "eager"), (2, "eager")]


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """(ranks, mode) -> output folder, printed: of a complete run that saved on the way, made when first asked for."""

    @functools.cache
    def run(ranks, mode):
        output = tmp_path_factory.mktemp("run") / "out"
        return output, train(ranks, config, output, f"--{mode}", "save_interval=5", "keep_checkpoints=9", "verbose=6")

    return run


@pytest.mark.parametrize(("ranks", "mode"), WAYS)
def test_a_run_leaves_all_it_promises(run, ranks, mode):
    output, printed = run(ranks, mode)
    log = (output / "training.log").read_text()
    steps = re.findall(
        r"Speed [\d.]+ samples/sec   Loss [\d.]+   LearningRate [\d.]+   Epoch: \d   Global Step: (\d+)/12", log
    )
    assert steps == ["4", "8", "12"]
    assert re.findall(r"\[held_out\]\[(\d+)\]Accuracy-Flip: [\d.]+\+-", log) == ["6", "12"]
    told = {line for line in log.splitlines() if line[:1].isdigit() and not line.endswith("Configuration:")}
    assert told <= set(printed.splitlines()) and len(told) > 10
    assert "weight_decay:" in log and "weight_decay" not in printed  # the whole config is in the log alone
    assert f"Model, log and checkpoints are in {output}" in log
    assert load_config(output / "config.py").batch_size == 8 // ranks
    assert "could not be written" not in log and "left behind" not in log, log
    assert list((output / "tensorboard").glob("events*")), f"{sorted(output.rglob('tensorboard*'))}\n{printed[-6000:]}"
    history = [json.loads(line) for line in (output / "history.jsonl").read_text().splitlines()]
    page = Page((output / "report.html").read_text())
    losses = [(record["step"], short(record["train/loss"])) for record in history if "train/loss" in record]
    assert list(zip(*page.curves("loss")["loss"], strict=True)) == losses
    assert page.curves("verification")["held_out"][0] == [6, 12] and "0 to 12" in page.text
    assert page.attributes("body") == [{"data-state": "complete"}] and "best/backbone.safetensors" in page.text
    assert f"Page of the run: {output / 'report.html'}" in log and f"--logdir {output / 'tensorboard'}" in log
    assert [record["step"] for record in history] == [4, 6, 8, 12, 12]
    shown = re.findall(r"   Accuracy: ([\d.]+)", log)
    assert shown == [f"{record['train/accuracy']:.4f}" for record in history if "train/accuracy" in record]
    assert len(shown) == 3
    assert {"train/loss", "train/learning_rate"} <= history[0].keys() and "verification/held_out/accuracy" in history[1]
    assert [p.name for p in list_checkpoints(output / "checkpoints")] == [f"step-{n:08d}" for n in (5, 6, 10, 12)]
    last = output / "checkpoints" / "step-00000012"
    weights, kept = (read_tensors(folder / "backbone.safetensors") for folder in (output, last))
    for name, array in weights.items():
        np.testing.assert_array_equal(array, kept[name])
    assert json.loads((output / "config.json").read_text())["network"] == "mbf_tiny"


@pytest.mark.parametrize(("ranks", "mode"), WAYS)
def test_resumed_run_is_the_same_to_the_last_bit(run, config, tmp_path, ranks, mode):
    output, _ = run(ranks, mode)
    shutil.copytree(output / "checkpoints" / "step-00000005", tmp_path / "out" / "checkpoints" / "step-00000005")
    train(ranks, config, tmp_path / "out", f"--{mode}", "resume=True", "keep_checkpoints=9", "val_targets=()")
    straight, resumed = (o / "checkpoints" / "step-00000012" for o in (output, tmp_path / "out"))
    for file in straight.glob("*.safetensors"):
        expected, actual = read_tensors(file), read_tensors(resumed / file.name)
        assert expected.keys() == actual.keys() and expected
        for name, array in expected.items():
            np.testing.assert_array_equal(actual[name], array, err_msg=f"{file.name} {name}")


@pytest.mark.parametrize(("ranks", "mode"), [(1, "graph"), (2, "eager")])
def test_other_ranks_take_up_a_checkpoint(run, config, tmp_path, ranks, mode):
    """Whose networks have BatchNorm; tests/end_to_end/test_resume.py compares losses without it."""
    checkpoint = run(ranks, mode)[0] / "checkpoints" / "step-00000010"
    settings = [f"--{mode}", f"resume={checkpoint}", "val_targets=()"]
    printed = train(3 - ranks, config, tmp_path / "out", *settings)
    assert f"written by {ranks} ranks" in printed and "Global Step: 12/12" in printed


@pytest.mark.parametrize(("ranks", "mode"), WAYS)
def test_the_saved_model_verifies_as_in_the_run_with_no_training_data(
    run, dataset, config, tmp_path, capsys, ranks, mode
):
    output, _ = run(ranks, mode)
    shutil.copy(dataset / "held_out.bin", tmp_path)
    command = [str(config), "--model_path", str(output), f"val_path={tmp_path}"]
    val.main([*command, f"ofrecord_path={tmp_path / 'nothing'}"])
    accuracy = re.findall(r"Accuracy-Flip: \S+", (output / "training.log").read_text())[-1]
    assert accuracy in capsys.readouterr().out


@pytest.mark.parametrize("ranks", [1, 2])
def test_ctrl_c_ends_cleanly_with_a_checkpoint(ranks, config, tmp_path):
    command = launch_command(ranks, "train.py", str(config), "num_epoch=500", "frequent=1", f"output={tmp_path}")
    process = subprocess.Popen(
        [*command, f"batch_size={8 // ranks}"],
        cwd=ROOT, env=rank_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    log = tmp_path / "training.log"
    deadline = time.time() + 120
    while not (log.exists() and "Global Step: 3/" in log.read_text()):
        assert time.time() < deadline and process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    step = int(re.search(r"Stopped at step (\d+);", printed)[1])
    assert list_checkpoints(tmp_path / "checkpoints")[-1].name == f"step-{step:08d}"
    assert "Traceback" not in printed


def test_a_loss_that_is_no_number_stops_the_run(config, tmp_path):
    printed = train(2, config, tmp_path, "lr=1e30", "warmup_epoch=0", "clip_grad_norm=0", status=2)
    assert printed.count("the loss is nan") + printed.count("the loss is inf") == 1, printed
    assert "smaller lr" in printed and "Traceback" not in printed
    page = Page((tmp_path / "report.html").read_text())
    assert page.attributes("body") == [{"data-state": "failed"}] and "the loss is" in page.text


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["num_classes=13"], "num_classes"),
        (["val_targets=lfw"], "lfw.bin is missing"),
        (["ofrecord_path=nowhere"], "nowhere"),
        (["network=r51"], "did you mean"),
        (["fp16=True", "device=auto"], "fp16"),
        (["batch_sise=4"], "batch_size"),
        (["device=cuda"], "device"),
        (["batch_size=1000"], "fewer than one global batch"),
    ],
)
def test_mistakes_are_one_sentence(config, tmp_path, overrides, words):
    with pytest.raises(UserError) as error:
        main([str(config), "batch_size=8", f"output={tmp_path / 'out'}", *overrides])
    assert words in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_mistake_ends_with_status_2_and_no_traceback(config):
    printed = run_ranks(2, "train.py", str(config), "batch_size=1000", status=2)
    assert printed.count("fewer than one global batch") == 1, printed
    assert "Traceback" not in printed


@pytest.fixture
def half_rotten(dataset, tmp_path):
    """The dataset with one image zeroed since its conversion, which only decoding can notice."""
    folder = Path(shutil.copytree(dataset, tmp_path / "of"))
    part = folder / "part-00001"
    entry = read_index(index_path(part))[3]
    with open(part, "r+b") as file:
        file.seek(entry["offset"])
        file.write(bytes(64))
    return folder


@pytest.mark.parametrize("seed", [0, 1])  # of which one meets the image on rank 0, the other on rank 1
def test_an_error_that_one_rank_meets_ends_all(half_rotten, config, tmp_path, seed):
    settings = [
        f"ofrecord_path={half_rotten}",
        f"seed={seed}",
        f"output={tmp_path / 'out'}",
        "batch_size=4",
        "verify_data=off",
    ]
    printed = run_ranks(2, "train.py", str(config), *settings, status=2, timeout=90)
    assert printed.count("record 3 of") == 1 and "Traceback" not in printed


def test_the_other_errors_meet_the_image_on_different_ranks():
    ranks = set()
    for seed in (0, 1):
        order = shuffled_records(48, seed, 0)
        position = int(np.flatnonzero(order == 12 + 3)[0])
        ranks.add(position % 8 // 4)
    assert ranks == {0, 1}


def test_an_output_that_the_machines_do_not_share_is_noticed_before_the_first_step(config, tmp_path):
    worker, output = "tests/end_to_end/apart_worker.py", f"output={tmp_path}/machine-RANK"
    printed = run_ranks(2, worker, str(config), "batch_size=4", "val_targets=()", output, status=2)
    assert printed.count("what rank 0 writes there, rank 1 cannot see") == 1
    assert "Global Step" not in printed and "Traceback" not in printed


def test_the_model_is_saved_even_where_checkpoints_cannot_be(config, tmp_path):
    (tmp_path / "checkpoints").touch()
    printed = train(2, config, tmp_path, "num_epoch=1", "val_targets=()", status=2)
    assert "Could not save at step 6" in printed and "step 6 could not be saved" in printed
    assert read_tensors(tmp_path / "backbone.safetensors")
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["state"], facts["reason"]) == ("failed", f"step 6 could not be saved in {tmp_path}")


def test_a_complete_run_is_not_run_again(run, config):
    printed = train(2, config, run(2, "graph")[0], "--graph", "resume=True", "keep_checkpoints=9")
    assert "complete already" in printed and "Traceback" not in printed
