"""Writers on disks that fail: some of the failures; `tests.faults.run` tries all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.calls import Call
from tests.faults.disk import KEPT, UNDONE, Disk
from tests.ranks import ROOT, rank_environment

_SHARE = 60


def test_whatever_fails_what_stood_before_stands_and_the_next_run_goes_on():
    command = [sys.executable, "-m", "tests.faults.run", "--share", str(_SHARE)]
    done = subprocess.run(command, cwd=ROOT, env=rank_environment(), capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tried, held = map(int, re.search(r"(\d+) failures, (\d+) held", done.stdout).groups())
    assert tried == held > 40


@pytest.fixture
def disk(tmp_path):
    """(calls) -> what is left of each file, by variant; a folder that held the file `old` at first."""
    before, notes = tmp_path / "before", tmp_path / "notes"
    before.mkdir()
    notes.mkdir()
    (before / "old").write_bytes(b"old")

    def left(*calls, synced=()):
        disk = Disk(before, Path("/work"))
        for number, content in synced:
            (notes / str(number)).write_bytes(content)
        for number, (name, path, other) in enumerate(calls):
            disk.apply(Call(number, name, True, Path("/work", path), Path("/work", other), "truncated"), notes)
        actual = []
        for variant in (KEPT, UNDONE):
            folder = tmp_path / variant
            disk.write(folder, variant)
            actual.append({path.name: path.read_bytes() for path in folder.iterdir()})
        return actual

    return left


NEW, OVER = ("open", "new", ""), ("rename", "new", "old")


def test_what_is_not_synced_is_lost(disk):
    assert disk(NEW, OVER) == [{"old": b""}, {"old": b"old"}]


def test_a_file_that_is_synced_has_its_bytes_and_maybe_not_its_name(disk):
    assert disk(NEW, ("sync", "new", ""), OVER, synced=[(1, b"new")]) == [{"old": b"new"}, {"old": b"old"}]


def test_a_name_is_there_when_its_folder_is_synced(disk):
    actual = disk(NEW, ("sync", "new", ""), OVER, ("sync", "", ""), synced=[(1, b"new")])
    assert actual == [{"old": b"new"}] * 2


def test_a_file_that_is_opened_as_new_may_have_lost_what_it_held(disk):
    assert disk(("open", "old", "")) == [{"old": b""}, {"old": b"old"}]
