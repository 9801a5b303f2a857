"""What starts training: which ranks are started with what, and what is reported before."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ranks import rank_environment
from tools import start_training
from utils.errors import UserError

REPO = Path(__file__).resolve().parents[2]
PREPARE = ["--prepare", str(REPO / "tools/prepare_demo.py")]
TRAIN = str(REPO / "train.py")


@pytest.fixture
def started(monkeypatch):
    """The command lines that the launcher was given."""
    calls = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(start_training, "launch", lambda arguments, _: calls.append(arguments) or 0)
    return calls


@pytest.mark.parametrize("config", [[], ["demo"], ["configs/demo.py"], ["lr=0.05"], ["margin_list=(1.0, 0.0, 0.4)"]])
def test_the_demo_is_the_default_and_is_prepared(config, started):
    assert start_training.main(["--graph", *config]) == 0
    assert started == [[*PREPARE, TRAIN, "--graph", *config]]


@pytest.mark.parametrize(
    "config", [["synthetic"], ["demo", "synthetic=True", "num_classes=9", "num_image=999", "val_targets=()"]]
)
def test_other_runs_prepare_nothing(config, started):
    assert start_training.main(["--graph", *config]) == 0
    assert started == [[TRAIN, "--graph", *config]]


def test_a_mistake_starts_nothing(started):
    with pytest.raises(UserError, match="lr = -1"):
        start_training.main(["--graph", "lr=-1"])
    with pytest.raises(UserError, match="fp16=True needs the compiled step"):
        start_training.main(["--eager", "ms1mv3_r50", "fp16=True"])
    assert started == []


def test_what_is_not_here_is_reported_at_once(started, tmp_path):
    with pytest.raises(UserError) as refused:
        start_training.main(["ms1mv3_r50", f"ofrecord_path={tmp_path}", "device=cuda", "val_targets=lfw,agedb_30"])
    first, card, half, data, sets = str(refused.value).splitlines()
    assert first.startswith("4 things")
    assert 'device = "cuda", but OneFlow finds no card' in card
    assert "fp16=True needs a CUDA card" in half
    assert f"{tmp_path}/dataset.json is missing" in data
    assert f"lfw.bin, agedb_30.bin of val_targets: not in {tmp_path}" in sets
    assert started == []


def test_a_set_that_is_there_is_not_missing(started, tmp_path):
    (tmp_path / "lfw.bin").touch()
    with pytest.raises(UserError, match=r"^agedb_30\.bin of val_targets"):
        start_training.main(["synthetic", f"val_path={tmp_path}", "val_targets=lfw,agedb_30"])
    assert start_training.main(["synthetic", f"val_path={tmp_path}", "val_targets=lfw"]) == 0
    assert len(started) == 1


def test_the_demo_on_other_data_draws_nothing(started, tmp_path):
    with pytest.raises(UserError, match=r"dataset\.json is missing"):
        start_training.main(["demo", f"ofrecord_path={tmp_path}"])
    assert started == []
    assert start_training.main(["demo", f"ofrecord_path={REPO / 'demo_data/ofrecord'}"]) == 0
    assert started[0][:2] == PREPARE


def test_nonsense_in_the_environment_is_refused(monkeypatch, capfd):
    monkeypatch.setenv("NPROC", "many")
    assert start_training.main(["synthetic"]) == 2
    assert capfd.readouterr().err == "error: NPROC=many is not a whole number from 1 to 4096.\n"


@pytest.fixture
def theirs(tmp_path):
    """A config of arcface_torch."""
    path = tmp_path / "theirs.py"
    path.write_text(
        "from easydict import EasyDict as edict\nconfig = edict()\n"
        "config.rec, config.num_classes, config.num_image, config.warmup_epoch = 'synthetic', 9, 999, -1\n"
    )
    return path


def test_a_notice_is_shown_once_and_before_the_ranks(theirs, started, capsys):
    assert start_training.main([str(theirs)]) == 0
    assert capsys.readouterr().err.count("warmup_epoch = -1 -> 0") == 1
    assert len(started) == 1


@pytest.mark.parametrize("program", ["train.py", "val.py", "export.py"])
def test_programs_that_no_launcher_started_show_the_notice(program, theirs, tmp_path):
    nothing = f"pretrained={tmp_path / 'no'}" if program == "train.py" else f"--model={tmp_path / 'no'}"
    command = [sys.executable, str(REPO / program), str(theirs), nothing, "val_targets=lfw", "val_path=no"]
    done = subprocess.run(command, cwd=tmp_path, env=rank_environment(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stderr.count("warmup_epoch = -1 -> 0") == 1


@pytest.mark.parametrize(("option", "shown"), [("--print_config", "config.lr = "), ("--print_phases", ", 1 rank(s)")])
def test_the_program_of_a_rank_shows_and_does_not_train_either(option, shown, tmp_path):
    output = tmp_path / "run"
    command = [sys.executable, str(REPO / "train.py"), "synthetic", option, f"output={output}"]
    done = subprocess.run(
        command, cwd=tmp_path, env=rank_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert shown in done.stdout and not output.exists()


def test_paths_are_meant_from_where_the_user_stands(tmp_path):
    """From another folder: of the command line from there, of the config from the repository."""
    command = [sys.executable, str(REPO / "tools/start_training.py"), "output=runs/a", "--print_config"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert f"config.output = '{tmp_path}/runs/a'" in done.stdout
    assert f"config.ofrecord_path = '{REPO}/demo_data/ofrecord'" in done.stdout
