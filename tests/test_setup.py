"""setup.sh in a folder of its own, with stand-ins for uv, Python 3.10 and the machine's tools."""

import importlib.metadata
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPO = Path(__file__).resolve().parents[1]

# Python 3.10, as far as setup.sh asks.
PYTHON = """
case "$*" in
    -) exit 1 ;; # the active environment has no OneFlow
    *'import oneflow'*) [ -z "${FAKE_IMPORT:-}" ] || { echo "ImportError: $FAKE_IMPORT"; exit 1; } ;;
    *version_info*) [ -z "${FAKE_OTHER_PYTHON:-}" ] ;;
esac
"""

UV = """
echo "$1 $2" >>"$CALLS"
case "$1 $2" in
    'python find') [ -z "${FAKE_NO_PYTHON:-}" ] && echo "$BIN/python3.10" ;;
    'python install') exit 1 ;;
    'cache dir') echo "$HOME/cache" ;;
    'venv '*) mkdir -p .venv/bin; ln -s "$BIN/python3.10" .venv/bin/python; touch .venv/pyvenv.cfg ;;
    'pip install')
        touch .venv/half
        [ -z "${FAKE_KILL:-}" ] || kill -9 0
        sleep "${FAKE_SLEEP:-0}"
        [ -z "${FAKE_ERROR:-}" ] || { echo "$FAKE_ERROR"; exit 2; }
        echo ' Downloading oneflow (920.1MiB)'
        ;;
esac
"""


class Clone:
    """A clone with only what set-up needs."""

    def __init__(self, folder):
        self.root, self.bin, self.calls_file = folder / "clone", folder / "bin", folder / "calls"
        self.root.mkdir()
        self.bin.mkdir()
        (folder / "home").mkdir()
        shutil.copy(REPO / "setup.sh", self.root)
        self.require("oneflow==0.9.0")
        self.program("uv", UV)
        self.program("python3.10", PYTHON)
        self.program("python", "exit 127")
        self.program("df", "printf 'Filesystem 1024-blocks Used Available\\n/dev/a 9 9 90000000\\n'")
        self.program("uname", "echo Linux x86_64")
        self.environ = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(folder / "home"),
            "BIN": str(self.bin),
            "CALLS": str(self.calls_file),
        }

    def program(self, name, body):
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def require(self, text):
        (self.root / "requirements.txt").write_text(text + "\n")

    def start(self, *command, **variables):
        return subprocess.Popen(
            command or ["./setup.sh"],
            cwd=self.root,
            env=self.environ | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *command, **variables):
        process = self.start(*command, **variables)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    def calls(self):
        """Of uv since the last time, without the questions."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return [line for line in lines if line.startswith(("venv", "pip", "python install"))]

    @property
    def venv_bin(self):
        return f"{self.root / '.venv/bin'}\n"


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


def test_venv_is_made_once(clone):
    status, out, err = clone.run()
    assert (status, out) == (0, clone.venv_bin)
    assert err == "Setting up .venv (once, about 4.3 GB) ...\n  downloading oneflow (920.1MiB)\nReady.\n"
    assert clone.calls() == ["venv --quiet", "pip install"]

    begin = time.monotonic()
    assert clone.run() == (0, clone.venv_bin, "")
    assert time.monotonic() - begin < 2
    assert clone.calls() == []


def test_sourcing_changes_nothing_but_the_environment(clone):
    clone.run()
    show = 'echo "$- $VIRTUAL_ENV $GLOG_minloglevel ${PATH%%:*} $(set | grep -c ^_setup)"; shopt -o'
    before = clone.run("bash", "-c", f"VIRTUAL_ENV= GLOG_minloglevel=; {show}")[1].splitlines()
    status, out, err = clone.run("bash", "-c", f"source ./setup.sh; source ./setup.sh; {show}; echo $PATH")
    first, *options, path = out.splitlines()
    flags = before[0].split()[0]
    assert (status, err) == (0, "")
    assert first == f"{flags} {clone.root / '.venv'} 2 {clone.root / '.venv/bin'} 0"
    assert options == before[1:]
    assert path.count(".venv/bin") == 1


def test_sourcing_from_elsewhere_under_strict_options(clone, tmp_path):
    clone.run()
    command = f"set -euo pipefail; cd {tmp_path}; source clone/setup.sh; pwd; echo $GLOG_minloglevel"
    assert clone.run("bash", "-c", command, GLOG_minloglevel="0") == (0, f"{tmp_path}\n0\n", "")


def test_a_failure_leaves_the_sourcing_shell_alive(clone):
    status, out, _ = clone.run("bash", "-c", "source ./setup.sh; echo alive $?", FAKE_NO_PYTHON="1")
    assert (status, out) == (0, "alive 2\n")
    status, out, _ = clone.run("bash", "-c", "set -e; source ./setup.sh; echo never", FAKE_NO_PYTHON="1")
    assert (status, out) == (2, "")


def test_an_interrupted_set_up_is_done_again(clone):
    status, _, _ = clone.run(FAKE_KILL="1")
    assert status == -signal.SIGKILL
    clone.calls()
    (clone.root / ".venv/half").write_text("looks installed")
    status, out, _ = clone.run()
    assert (status, out) == (0, clone.venv_bin)
    assert clone.calls() == ["venv --quiet", "pip install"]
    assert (clone.root / ".venv/half").read_text() == ""


def test_changed_requirements_are_followed_in_place(clone):
    clone.run()
    clone.calls()
    clone.require("oneflow==0.9.0\ntqdm==4.70.1")
    assert clone.run()[2].startswith("Bringing .venv up to requirements.txt ...\n")
    assert clone.calls() == ["pip install"]
    assert clone.run() == (0, clone.venv_bin, "")


def test_a_venv_made_by_hand_is_completed(clone):
    (clone.root / ".venv/bin").mkdir(parents=True)
    (clone.root / ".venv/bin/python").symlink_to(clone.bin / "python3.10")
    assert clone.run()[0] == 0
    assert clone.calls() == ["pip install"]


def test_two_at_once(clone):
    first = clone.start(FAKE_SLEEP="1")
    while not (clone.root / ".venv/half").exists():
        time.sleep(0.02)
    status, out, err = clone.run()
    assert (status, out) == (0, clone.venv_bin)
    assert err == "Another set-up of this folder is running; waiting for it ...\n"
    assert first.communicate(timeout=30)[0] == clone.venv_bin
    assert clone.calls() == ["venv --quiet", "pip install"]


def test_uv_is_fetched_without_root_where_it_is_absent(clone):
    (clone.bin / "uv").unlink()
    clone.program(
        "python3",
        f'case "$*" in *"-m pip install"*--target*) mkdir -p {clone.root}/.uv/bin; cp "$BIN/uv.fetched" '
        f"{clone.root}/.uv/bin/uv ;; esac",
    )
    clone.program("uv.fetched", UV)
    status, out, err = clone.run()
    assert (status, out) == (0, clone.venv_bin)
    assert err.startswith("Fetching uv, which installs Python packages ...\n")


@pytest.mark.parametrize(
    ("change", "variables", "sentence"),
    [
        ({"uname": "echo Darwin arm64"}, {}, "OneFlow 0.9.0 runs on Linux x86-64 only; this is Darwin arm64."),
        ({"uname": "echo Linux aarch64"}, {}, "OneFlow 0.9.0 runs on Linux x86-64 only; this is Linux aarch64."),
        (
            {"df": "printf 'Filesystem 1024-blocks Used Available\\n/dev/a 9 9 90000000\\n/dev/b 9 9 1200000\\n'"},
            {},
            "the environment needs 5 GB of disk space and only 1 GB are free",
        ),
        ({}, {"FAKE_NO_PYTHON": "1"}, "no Python 3.10 was found and none could be downloaded: install one"),
        ({}, {"FAKE_ERROR": "error: dns error"}, "the packages could not be downloaded: check the network"),
        ({}, {"FAKE_ERROR": "No space left on device"}, "the disk is full: free some space"),
        ({}, {"FAKE_ERROR": "no such version"}, "the packages could not be installed (details: "),
        ({}, {"FAKE_IMPORT": "libgomp.so.1: cannot open"}, "the packages do not import; on a bare Debian or Ubuntu"),
        (
            {"uv": "exit 127", "python3": "exit 1", "curl": "exit 6", "wget": "exit 4"},
            {},
            "uv could not be fetched: check the network, or install uv",
        ),
    ],
)
def test_each_obstacle_is_told_in_a_sentence(clone, change, variables, sentence):
    for name, body in change.items():
        clone.program(name, body)
    status, out, err = clone.run(**variables)
    progress = ("Setting up", "Fetching", "  downloading")
    (told,) = [line for line in err.splitlines() if not line.startswith(progress)]
    assert (status, out) == (2, "")
    assert told.startswith(f"setup.sh: {sentence}")
    # It is as it was: with the obstacle gone the same command succeeds.
    clone.program("uv", UV)
    clone.program("uname", "echo Linux x86_64")
    clone.program("df", "printf 'Filesystem 1024-blocks Used Available\\n/dev/a 9 9 90000000\\n'")
    assert clone.run()[:2] == (0, clone.venv_bin)


def test_a_venv_of_another_python_is_left_alone(clone):
    (clone.root / ".venv/bin").mkdir(parents=True)
    (clone.root / ".venv/bin/python").symlink_to(clone.bin / "python3.10")
    status, _, err = clone.run(FAKE_OTHER_PYTHON="1")
    assert status == 2
    assert err == "setup.sh: .venv is there and is not of Python 3.10: move it away and run this again.\n"
    assert (clone.root / ".venv/bin/python").exists()


@pytest.mark.parametrize(("release", "taken"), [("0.9.0", True), ("0.9.1.dev20240203+cu118", True), ("0.7.0", False)])
def test_the_active_environment_is_taken_if_it_has_oneflow(clone, tmp_path, release, taken):
    """On 3.11, pip installs a stub of OneFlow 0.7.0 that does nothing."""
    site = tmp_path / "site"
    (site / "oneflow").mkdir(parents=True)
    (site / "oneflow/__init__.py").touch()
    (site / "nvidia/cudnn/lib").mkdir(parents=True)
    (site / f"oneflow-{release}.dist-info").mkdir()
    (site / f"oneflow-{release}.dist-info/METADATA").write_text(f"Name: oneflow\nVersion: {release}\n")
    clone.program("python", f'PYTHONPATH={site} exec {sys.executable} "$@"')
    status, out, err = clone.run()
    assert status == 0
    assert (out == f"{Path(sys.executable).parent}\n" and err == "") == taken
    assert (out == clone.venv_bin) == (not taken)


def test_requirements_name_no_registry():
    for name in ("requirements.in", "requirements.txt"):
        text = (REPO / name).read_text()
        assert "://" not in text
        assert "index" not in text


def test_every_installed_package_has_what_it_requires():
    """But for what pyproject.toml says is left out, and why."""
    left_out = set(re.findall(r'"([\w-]+) ; sys_platform == \'never\'"', (REPO / "pyproject.toml").read_text()))
    assert left_out == {"opencv-python", "onnx-simplifier", "imageio-ffmpeg"}
    for package in importlib.metadata.distributions():
        for text in package.requires or ():
            required = Requirement(text)
            if required.name in left_out:
                continue
            if required.marker is None or required.marker.evaluate({"extra": ""}):
                assert importlib.metadata.version(required.name) in required.specifier, f"{package.name} needs {text}"


@pytest.mark.parametrize(("extra", "package"), [("spark", "PySpark"), ("flowvision", "flowvision")])
def test_an_extra_is_installed_once_when_it_is_asked_for(clone, extra, package):
    requirements = clone.root / f"requirements-{extra}.txt"
    requirements.write_text("package==3.5.6\n")
    assert clone.run("./setup.sh", extra)[:2] == (0, clone.venv_bin)
    assert clone.calls() == ["venv --quiet", "pip install", "pip install"]
    assert clone.run("./setup.sh", extra) == (0, clone.venv_bin, "")
    assert clone.calls() == []
    requirements.write_text("package==4.0.4\n")
    status, _, err = clone.run("./setup.sh", extra, FAKE_ERROR="no route to host")
    assert status == 2 and err.splitlines()[-1].startswith(
        f"setup.sh: {package} could not be installed: check the network"
    )
    assert clone.run("./setup.sh", extra)[0] == 0
    assert clone.calls() == ["pip install", "pip install"]


def test_an_unknown_extra_is_refused(clone):
    assert clone.run("./setup.sh", "sprak") == (
        2,
        "",
        "setup.sh: 'sprak' is not known; ./setup.sh, and it with test, spark, flowvision, trackers or docs, are.\n",
    )
