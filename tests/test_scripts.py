"""The shell scripts in a clone of their own, where train.py and val.py only tell how they were called."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.models import make_model

REPO = Path(__file__).resolve().parents[1]

TELL = """
import json, os, sys
print(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]))
"""
TRAIN = (
    TELL
    + """
if os.path.exists("status"):
    sys.exit(int(open("status").read()))
"""
)


@pytest.fixture
def clone(tmp_path):
    root = tmp_path / "clone"
    shutil.copytree(REPO / "launch", root / "launch", ignore=shutil.ignore_patterns("__pycache__"))
    for path in ("tools/enter.sh", "tools/train.sh", "utils/errors.py"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / path, root / path)
    for script in ("train_graph_distributed.sh", "train_ddp.sh", "val.sh"):
        shutil.copy(REPO / script, root)
    (root / "setup.sh").write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    (root / "train.py").write_text(TRAIN)
    (root / "val.py").write_text(TELL)
    (root / "tools/prepare_demo.py").write_text("print('prepared')")
    (root / "configs").mkdir()
    for name in ("demo", "other"):
        (root / f"configs/{name}.py").touch()
    return root


@pytest.fixture
def run(clone):
    def run(script, *arguments, cwd=clone, **variables):
        """Exit status, whether the demo was prepared, and what rank 0 was called with."""
        names = ("NPROC", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
        environ = {key: value for key, value in os.environ.items() if key not in names}
        result = subprocess.run(
            [clone / script, *arguments],
            cwd=cwd,
            env=environ | {"CUDA_VISIBLE_DEVICES": ""} | variables,
            capture_output=True,
            text=True,
            timeout=60,
        )
        *prepared, call = result.stdout.splitlines() or [""]
        run.err = result.stderr
        return result.returncode, bool(prepared), json.loads(call or "null")

    return run


def test_the_demo_is_the_default_and_is_prepared(run):
    called = ["train.py", "configs/demo.py", "--graph"]
    assert run("train_graph_distributed.sh") == (0, True, called)
    assert run.err == f"[rank 1] {json.dumps(called)}\n"


def test_asking_for_the_end_of_an_epoch_does_not_end_the_set_up(clone, run):
    with open(clone / "setup.sh", "a") as setup:
        setup.write("kill -USR1 $$\n")
    assert run("train_graph_distributed.sh") == (0, True, ["train.py", "configs/demo.py", "--graph"])


def test_overrides_need_no_config(run):
    call = ["train.py", "configs/demo.py", "--graph", "lr=0.05", "margin_list=(1.0, 0.0, 0.4)"]
    assert run("train_graph_distributed.sh", "lr=0.05", "margin_list=(1.0, 0.0, 0.4)") == (0, True, call)


@pytest.mark.parametrize("config", ["demo", "configs/demo.py", "./configs/demo.py"])
def test_the_demo_is_known_by_any_name(run, config):
    assert run("train_ddp.sh", config) == (0, True, ["train.py", config, "--eager"])


def test_another_config_prepares_nothing(run):
    call = ["train.py", "configs/other.py", "--eager", "lr=1"]
    assert run("train_ddp.sh", "configs/other.py", "lr=1") == (0, False, call)


def test_ranks_from_the_environment(run):
    assert run("train_ddp.sh", "other", NPROC="3")[0] == 0
    assert sorted(line.split("]")[0] for line in run.err.splitlines()) == ["[rank 1", "[rank 2"]


def test_nonsense_in_the_environment_is_refused_before_anything_is_done(run):
    assert run("train_graph_distributed.sh", NPROC="many") == (2, False, None)
    assert run.err == "error: NPROC=many is not a whole number from 1 to 4096.\n"


@pytest.mark.parametrize("status", [1, 2, 130])
def test_the_exit_status_is_handed_on(run, clone, status):
    (clone / "status").write_text(str(status))
    assert run("train_graph_distributed.sh", "other")[0] == status


def test_typed_paths_are_meant_from_where_the_user_stands(run, clone, tmp_path):
    (tmp_path / "mine.py").touch()
    (tmp_path / "link.sh").symlink_to(clone / "train_graph_distributed.sh")
    for script in ("train_graph_distributed.sh", "../link.sh"):
        arguments = ("mine.py", "output=runs/a", "resume=True", 'val_targets=("a/b",)')
        *_, call = run(script, *arguments, cwd=tmp_path)
        assert call == [
            "train.py",
            str(tmp_path / "mine.py"),
            "--graph",
            f"output={tmp_path}/runs/a",
            "resume=True",
            'val_targets=("a/b",)',
        ]
    assert run("train_graph_distributed.sh", cwd=tmp_path)[2][1] == "configs/demo.py"
    assert run("train_graph_distributed.sh", "configs/other.py", cwd=tmp_path)[2][1] == "configs/other.py"


def test_val_gets_what_it_is_given(run, tmp_path):
    (tmp_path / "backbone.safetensors").touch()
    assert run("val.sh") == (0, False, ["val.py"])
    *_, call = run("val.sh", "demo", "--model_path", "backbone.safetensors", cwd=tmp_path)
    assert call == ["val.py", "demo", "--model_path", str(tmp_path / "backbone.safetensors")]


def test_convert_writes_where_the_user_stands(tmp_path):
    """The real one, in the repository, with a model that has learned nothing."""
    make_model(tmp_path / "model", "mbf_tiny", 32)
    command = [REPO / "convert.sh", "--model_path", "model", "--out_path", "made/face.onnx", "val_path=nowhere"]
    (tmp_path / "made").mkdir()
    environ = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert f"{tmp_path}/made/face.onnx: mbf_tiny, fp32" in result.stdout
    assert (tmp_path / "made/face.onnx").stat().st_size > 10_000


def test_every_script_can_be_run():
    scripts = [*REPO.glob("*.sh"), *(REPO / "tools").glob("*.sh"), REPO / ".ci/run"]
    assert all(os.access(script, os.X_OK) for script in scripts)
