"""A run's folder is one run's, until its process ends, however it ends."""

import errno
import fcntl
import signal
import subprocess
import sys

import pytest

from tests.ranks import ROOT
from utils.errors import UserError
from utils.folders import hold_folder

_HOLD = (
    "import sys, time; from pathlib import Path; from utils.folders import hold_folder; "
    "hold_folder(Path(sys.argv[1])); "
)


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder."""
    command = [sys.executable, "-c", _HOLD + "print('held', flush=True); time.sleep(60)", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_another_run_is_named(holder, tmp_path):
    with pytest.raises(UserError, match=rf"in use by another run \(process {holder.pid} on .+\); wait for it"):
        hold_folder(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_was_killed_holds_nothing(holder, tmp_path, how):
    holder.send_signal(how)
    holder.wait(10)
    assert f"process {holder.pid}" in (tmp_path / ".lock").read_text()
    subprocess.run([sys.executable, "-c", _HOLD, str(tmp_path)], cwd=ROOT, check=True, timeout=30)


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    hold_folder(tmp_path)
    hold_folder(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OSError, match="directory"):
        hold_folder(tmp_path)
