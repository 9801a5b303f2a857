"""A program started with a Python that has none of our packages."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ranks import ROOT, rank_environment
from utils import environment
from utils.failures import shortage

# -S and -I: a Python without site-packages stands for one that nothing was installed into.
BARE = [sys.executable, "-S", "-I"]


@pytest.mark.parametrize("program", ["train.py", "val.py", "export.py", "tools/mx_recordio_2_ofrecord.py"])
def test_it_says_what_to_do(tmp_path, program):
    shutil.copytree(ROOT / "utils", tmp_path / "utils")
    (tmp_path / program).parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / program, tmp_path / program)
    start = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(tmp_path / program)!r})"
    done = subprocess.run([*BARE, "-c", start], capture_output=True, text=True)
    assert done.returncode == 2 and "setup.sh" in done.stderr and "Traceback" not in done.stderr


def test_it_goes_on_in_the_environment(tmp_path):
    shutil.copytree(ROOT / "utils", tmp_path / "utils")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "here: $*"\n')
    python.chmod(0o755)
    (tmp_path / "program.py").write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from utils.environment import enter_environment\nenter_environment()\n"
    )
    done = subprocess.run([*BARE, str(Path(tmp_path, "program.py")), "--flag"], capture_output=True, text=True)
    assert done.stdout == f"here: {tmp_path / 'program.py'} --flag\n"


def run_with(memory, *command):
    """A command with so many bytes of address space."""
    program = [sys.executable, *command]
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory))  # noqa: E731
    return subprocess.run(
        program, cwd=ROOT, env=rank_environment(), preexec_fn=limit, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("memory", [100 << 20, 200 << 20])
@pytest.mark.parametrize("command", [
    ("tools/make_bin.py", "people", "--out", "set.bin"), ("train.py", "synthetic"), ("val.py", "demo"),
    ("-m", "launch", "--nproc", "2", "train.py", "synthetic"),
])  # fmt: skip
def test_too_little_memory_for_the_packages_is_one_sentence(memory, command):
    done = run_with(memory, *command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is too little memory to load what this needs (")
    assert done.stderr.count("\n") == 1


def test_too_little_memory_for_oneflow_is_one_sentence(tmp_path):
    done = run_with(500 << 20, "train.py", "synthetic", f"output={tmp_path / 'run'}")
    assert done.returncode == 2 and not (tmp_path / "run").exists()
    assert done.stderr.splitlines()[-1].startswith("error: there is too little memory to load what this needs (")
    assert "Traceback" not in done.stderr


def test_other_errors_of_an_import_stay_what_they_are(tmp_path):
    program = tmp_path / "program.py"
    for raised in ("ImportError('no module named x')", "ValueError('failed')", "OSError(2, 'no such file')"):
        program.write_text(f"from utils.environment import enter_environment\nenter_environment()\nraise {raised}\n")
        done = run_with(-1, str(program))
        assert done.returncode == 1 and "Traceback" in done.stderr


@pytest.mark.parametrize("error", [
    MemoryError(), OSError(12, "Cannot allocate memory"),
    ImportError("/a/b.so: failed to map segment from shared object"),
    ImportError("numpy says much\n\nOriginal error was: b.so: failed to map segment from shared object\n"),
])  # fmt: skip
def test_what_a_shortage_looks_like(error):
    assert shortage(error).startswith("there is too little memory")
    outer = ImportError("something else")
    outer.__cause__ = error
    assert shortage(outer) == shortage(error)
    assert "/a/" not in shortage(error) and "\n" not in shortage(error)


@pytest.mark.parametrize(("started", "prefix", "ours"), [
    ("house/train.py", "house/.venv", True), ("house/tools/embed.py", "usr", True),
    ("house/.venv/lib/pytest/__main__.py", "house/.venv", False), ("house/.venv/bin/ipython", "house/.venv", False),
    ("conda/house/val.py", "conda", True), ("elsewhere/train.py", "house/.venv", False),
])  # fmt: skip
def test_programs_of_packages_are_not_ours(started, prefix, ours, monkeypatch, tmp_path):
    root = "conda/house" if prefix == "conda" else "house"
    monkeypatch.setattr(environment, "_ROOT", tmp_path / root)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / prefix))
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / started), raising=False)
    assert environment._is_program() == ours
