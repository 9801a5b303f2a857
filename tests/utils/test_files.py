"""Files that are written whole: by several at once, and after one that was killed."""

import os

import pytest

from utils.files import new_file, write_whole


def test_each_that_writes_a_file_has_a_name_of_its_own(tmp_path):
    path = tmp_path / "run.json"
    with new_file(path) as second:
        with new_file(path) as first:
            first.write_text("first")
            second.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second" and os.listdir(tmp_path) == ["run.json"]


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    path, none = tmp_path / "run.json", 2**22 + 1  # above the largest number that Linux gives a process
    names = {".run.json.0a1b2c3d.1", ".run.json.1", ".run.json.notes", "run.json.2"}
    for name in [*names, f".run.json.0a1b2c3d.{none}", f".run.json.{none}"]:
        (tmp_path / name).touch()
    write_whole(path, b"{}")
    assert set(os.listdir(tmp_path)) == {*names, "run.json"}


def test_an_error_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("before")
    with pytest.raises(ValueError, match="no"), new_file(path) as unfinished:
        unfinished.write_text("half")
        raise ValueError("no")
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["run.json"]
