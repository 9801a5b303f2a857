"""The shell scripts in a clone of their own, whose programs only say how they were called, and from where."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.models import make_model

REPO = Path(__file__).resolve().parents[1]
SCRIPTS = {"train_graph_distributed.sh": "train", "train_ddp.sh": "train", "val.sh": "val", "convert.sh": "export"}

TELL = """
import json, os, signal, sys
os.kill(os.getpid(), signal.SIGUSR1)  # ignored, or it ends this
print(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:], os.getcwd()]))
if os.path.exists("status"):
    sys.exit(int(open("status").read()))
"""


@pytest.fixture
def clone(tmp_path):
    root = tmp_path / "clone"
    shutil.copytree(REPO / "docs/help", root / "docs/help")
    (root / "tools").mkdir()
    for path in ("tools/enter.sh", "tools/train.sh", *SCRIPTS):
        shutil.copy(REPO / path, root / path)
    (root / "setup.sh").write_text(f'echo set up >&2\nPATH="{Path(sys.executable).parent}:$PATH"\n')
    (root / "tools/start_training.py").write_text(TELL)
    for program in ("val.py", "export.py"):
        (root / program).write_text(TELL.replace("os.kill(os.getpid(), signal.SIGUSR1)", ""))
    return root


@pytest.fixture
def run(clone):
    def run(script, *arguments, cwd=clone):
        """Exit status, and what the program was called with, and in which folder."""
        command = [clone / script, *arguments]
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
        run.out, run.err = result.stdout, result.stderr
        return result.returncode, json.loads(result.stdout) if result.stdout.startswith("[") else None

    return run


def test_training_is_started_with_the_arguments_as_they_are(run, clone, tmp_path):
    (tmp_path / "link.sh").symlink_to(clone / "train_graph_distributed.sh")
    arguments = ("mine.py", "output=runs/a b", 'val_targets=("a/b",)')
    for script in ("train_graph_distributed.sh", "../link.sh"):
        call = ["start_training.py", "--graph", *arguments, str(tmp_path)]
        assert run(script, *arguments, cwd=tmp_path) == (0, call)
    assert run("train_ddp.sh") == (0, ["start_training.py", "--eager", str(clone)])


def test_asking_for_the_end_of_an_epoch_does_not_end_the_set_up(clone, run):
    with open(clone / "setup.sh", "a") as setup:
        setup.write("kill -USR1 $$\n")
    assert run("train_graph_distributed.sh") == (0, ["start_training.py", "--graph", str(clone)])


@pytest.mark.parametrize("status", [1, 2, 130])
def test_the_exit_status_is_handed_on(run, clone, status):
    (clone / "status").write_text(str(status))
    assert run("train_graph_distributed.sh", "other")[0] == status


def test_others_get_what_they_are_given_too(run, tmp_path):
    call = ["demo", "--model", "backbone.safetensors", str(tmp_path)]
    assert run("val.sh", *call[:-1], cwd=tmp_path) == (0, ["val.py", *call])
    assert run("convert.sh", *call[:-1], cwd=tmp_path) == (0, ["export.py", *call])


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_comes_before_the_set_up(script, run, tmp_path):
    for arguments in (["--help"], ["demo", "-h", "lr=1"]):
        assert run(script, *arguments, cwd=tmp_path) == (0, None)
        assert run.out == (REPO / f"docs/help/{SCRIPTS[script]}.txt").read_text()
        assert run.err == ""


@pytest.mark.parametrize("script", ["setup.sh", "test.sh", "tools/compile_requirements.sh"])
def test_scripts_without_a_program_explain_themselves(script):
    done = subprocess.run([REPO / script, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert script in done.stdout
    assert "set -euo" not in done.stdout


def test_convert_writes_where_the_user_stands(tmp_path):
    """The real one, in the repository, with a model that has learned nothing."""
    make_model(tmp_path / "model", "mbf_tiny", 32)
    command = [REPO / "convert.sh", "--model", "model", "--out", "made/face.onnx", "val_path=nowhere"]
    (tmp_path / "made").mkdir()
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "made/face.onnx: mbf_tiny, fp32" in result.stdout
    assert (tmp_path / "made/face.onnx").stat().st_size > 10_000


def test_every_script_can_be_run():
    scripts = [*REPO.glob("*.sh"), *(REPO / "tools").glob("*.sh"), REPO / ".ci/run"]
    assert all(os.access(script, os.X_OK) for script in scripts)
