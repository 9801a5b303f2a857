"""Building and loading the kernels: once, by one process, and never so that a run cannot do without."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from native import build, library, paths
from tests.ranks import ROOT, rank_environment
from utils.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty one in place of native/build."""
    monkeypatch.setattr(paths, "_BUILT", tmp_path / "build")
    return tmp_path


def compiler(folder: Path, body: str) -> str:
    """A program in place of g++. $out: what it is to make."""
    program = folder / "compiler"
    made = 'out="${@: -1}"; [[ $* == *-shared* ]] && out="${@: -2:1}"'
    program.write_text(f"#!/bin/bash\necho x >>{folder}/calls\n{made}\n{body}\n")
    program.chmod(0o755)
    return str(program)


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


@pytest.mark.timeout(300)
def test_the_sources_compile(tmp_path):
    made = tmp_path / "kernels.so"
    build.build("g++", paths.find_packages(), made)
    assert made.stat().st_size > 100_000 and [path.name for path in tmp_path.iterdir()] == ["kernels.so"]


def test_without_a_compiler_it_says_so_once(folder):
    with pytest.raises(UserError, match=r"no C\+\+ compiler \(no-such-thing\): install g\+\+"):
        build.ensure_built("no-such-thing")
    assert build.ensure_built("no-such-thing") == ""
    made = paths.library_path(paths.find_packages())
    assert not made.exists() and "no-such-thing" in paths.failure_path(made).read_text()
    with pytest.raises(UserError, match="no-such-thing"):
        library.load_kernels()


def test_another_compiler_is_tried_again(folder):
    with pytest.raises(UserError):
        build.ensure_built("no-such-thing")
    assert build.ensure_built(compiler(folder, 'touch "$out"')).startswith("Built")
    made = paths.library_path(paths.find_packages())
    assert made.exists() and not paths.failure_path(made).exists()
    assert build.ensure_built("no-such-thing") == ""  # it is there


def test_a_compiler_that_fails_leaves_nothing(folder):
    with pytest.raises(UserError, match=r"failed \(loops.cpp:1: error: no such flag\)"):
        build.ensure_built(compiler(folder, "echo loops.cpp:1: error: no such flag >&2; exit 1"))
    made = paths.library_path(paths.find_packages())
    assert sorted(path.name for path in made.parent.iterdir()) == ["failed.txt"]


def test_of_several_at_once_one_builds(folder):
    slow, said = compiler(folder, 'sleep 0.2; touch "$out"'), []
    threads = [threading.Thread(target=lambda: said.append(build.ensure_built(slow))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(map(bool, said)) == [False, False, True]
    loops = len(paths.LOOPS) * len(list(paths.SOURCES.glob("loops/*.cpp")))
    assert calls(folder) == loops + 3  # two other units, and the linking


def test_other_sources_or_flags_are_another_library(monkeypatch):
    packages = paths.find_packages()
    before = paths.library_path(packages)
    monkeypatch.setattr(paths, "FLAGS", (*paths.FLAGS, "-g"))
    assert paths.library_path(packages).parent != before.parent


@pytest.mark.usefixtures("folder")
def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "_loaded", None)
    with pytest.raises(UserError, match=r"run \./setup\.sh, which builds them"):
        library.load_kernels()
    old = tmp_path / "cpuinfo"
    old.write_text("processor : 0\nflags : fpu sse4_2\n")
    with pytest.raises(UserError, match="no AVX2"):
        library.built_library(old)


def test_a_library_that_does_not_load_is_said(folder, monkeypatch):
    monkeypatch.setattr(library, "_loaded", None)
    made = paths.library_path(paths.find_packages())
    made.parent.mkdir(parents=True)
    made.write_bytes(b"not a library")
    with pytest.raises(UserError, match="they do not load"):
        library.load_kernels()


@pytest.mark.parametrize("fresh", [True, False])
def test_only_a_fresh_process_gets_them(fresh):
    """In another one, operators that have run would crash."""
    program = (
        "import oneflow as flow\n"
        "from native.library import with_kernels\n"
        "from utils.runtime import start_runtime\n"
        "layers = [flow.nn.Conv2d(3, 8, 3) for _ in range(9)]\n"
        f"fresh = {fresh}\n"
        "run = lambda: [layer(flow.ones(1, 3, 9, 9)).numpy() for layer in layers]\n"
        "if not fresh: run()\n"
        "runtime, missing = with_kernels(start_runtime('cpu'), fresh)\n"
        "run()\n"
        "print(runtime.native, missing)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, env=rank_environment(), timeout=120, text=True, capture_output=True, check=True
    )
    expected = "True" if fresh else "False OneFlow was in use in this process before"
    assert done.stdout.strip().splitlines()[-1] == expected


def test_a_run_has_them(tmp_path):
    keys = ["synthetic", "network=mbf_tiny", "num_classes=50", "batch_size=4", "num_epoch=1", "num_image=8"]
    command = [sys.executable, "train.py", *keys, f"output={tmp_path / 'out'}", "device=cpu"]
    done = subprocess.run(
        command, cwd=ROOT, env=rank_environment(), timeout=120, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0 and "without the CPU kernels" not in done.stdout + done.stderr, done.stderr[-2000:]


def test_a_run_goes_on_without(tmp_path):
    """A tree in which nothing is built."""
    names = [path for path in ROOT.iterdir() if not path.name.startswith(".") and path.name not in ("tests", "docs")]
    for path in names:
        if path.is_dir() and path.name not in ("work_dirs", "demo_data"):
            shutil.copytree(path, tmp_path / path.name, ignore=shutil.ignore_patterns("build", "__pycache__"))
        elif path.is_file():
            shutil.copy(path, tmp_path / path.name)
    keys = ["configs/synthetic.py", "network=mbf_tiny", "num_classes=50", "batch_size=4", "num_epoch=1", "num_image=8"]
    command = [sys.executable, "train.py", *keys, f"output={tmp_path / 'out'}", "device=cpu"]
    environment = {**rank_environment(), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, timeout=120, text=True, capture_output=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-2000:]
    assert "Training is slower without the CPU kernels of native/: run ./setup.sh, which builds them" in said
