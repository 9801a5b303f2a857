"""Files of this machine and of a store that fsspec reaches (one in memory) alike."""

import os
from pathlib import Path

import numpy as np
import pytest

from data.storage import (
    NewFile,
    RangeReader,
    copy_file,
    find_path,
    free_space,
    is_local,
    local_file,
    remove_folder,
    write_file,
)
from utils.errors import UserError


@pytest.fixture(params=["local", "store"])
def folder(request, tmp_path):
    """An empty folder of either kind."""
    if request.param == "local":
        yield tmp_path
        return
    pytest.importorskip("upath", reason="./setup.sh spark installs universal-pathlib")
    path = find_path("memory://faces")
    path.mkdir(parents=True)
    yield path
    path.fs.rm(path.path, recursive=True)


def names(folder):
    return sorted(path.name for path in folder.glob("*"))


def test_a_path_is_local_unless_it_is_a_url(folder):
    assert is_local(folder) == isinstance(folder, Path) == (free_space(folder) is not None)
    assert find_path("faces/a b") == Path("faces/a b")


def test_a_file_has_its_name_only_when_it_is_whole(folder):
    with NewFile(folder / "part") as file:
        file.write(b"one ")
        assert "part" not in names(folder)
        file.write(memoryview(b"two"))
        file.commit()
    assert names(folder) == ["part"] and (folder / "part").read_bytes() == b"one two"


def test_a_file_that_is_not_committed_leaves_nothing_and_what_was_there(folder):
    write_file(folder / "part", b"before")
    with pytest.raises(RuntimeError), NewFile(folder / "part") as file:
        file.write(b"half")
        raise RuntimeError
    assert names(folder) == ["part"] and (folder / "part").read_bytes() == b"before"


def test_of_two_writers_of_a_file_the_last_to_commit_stays(folder):
    """Two attempts of a task, on two machines."""
    with NewFile(folder / "part") as first, NewFile(folder / "part") as second:
        first.write(b"of the first")
        second.write(b"of the second")
        second.commit()
        first.commit()
    assert names(folder) == ["part"] and (folder / "part").read_bytes() == b"of the first"


def test_the_longest_name_can_be_written(folder):
    name = "ë" * 127
    write_file(folder / name, b"x")
    assert names(folder) == [name]


def test_ranges_are_those_of_the_file(folder):
    content = np.random.default_rng(0).bytes(100_000)
    write_file(folder / "rec", content)
    offsets, lengths = [5, 99_990, 0, 7, 100_000], [10, 50, 0, 60_000, 3]
    expected = [content[offset : offset + length] for offset, length in zip(offsets, lengths, strict=True)]
    with RangeReader(folder / "rec") as file:
        assert [file.read(offset, length) for offset, length in zip(offsets, lengths, strict=True)] == expected
        many = np.random.default_rng(1).integers(0, 90_000, 600).tolist()
        assert list(file.read_many(many, [9] * 600)) == [content[offset : offset + 9] for offset in many]


def test_copies_are_whole_files(folder, tmp_path):
    write_file(folder / "lfw.bin", b"pairs")
    copy_file(folder / "lfw.bin", folder / "copy.bin")
    copy_file(folder / "copy.bin", tmp_path / "here.bin")
    assert (tmp_path / "here.bin").read_bytes() == b"pairs"
    with local_file(folder / "lfw.bin") as copy:
        assert os.fspath(copy) and copy.read_bytes() == b"pairs"
    with pytest.raises(FileNotFoundError):
        copy_file(folder / "nowhere", folder / "copy")
    assert "copy" not in names(folder)


def test_a_folder_is_removed_with_what_it_holds(folder):
    (folder / "job").mkdir()
    write_file(folder / "job" / "note", b"")
    remove_folder(folder / "job")
    assert not (folder / "job").exists()


@pytest.mark.parametrize("url", ["nope://faces", "s3://faces", "ftp://127.0.0.1:9/faces"])
def test_a_url_that_cannot_be_opened_is_a_sentence(url):
    pytest.importorskip("upath", reason="./setup.sh spark installs universal-pathlib")
    with pytest.raises(UserError, match=rf"^{url} cannot be reached: \S.*[^.]\.$"):
        find_path(url)


def test_a_password_is_not_told():
    pytest.importorskip("upath", reason="./setup.sh spark installs universal-pathlib")
    with pytest.raises(UserError, match=r"^ftp://127\.0\.0\.1:9/faces cannot be reached"):
        find_path("ftp://anna:secret@127.0.0.1:9/faces")


def test_a_url_of_this_machine_is_a_path():
    assert find_path("file:///mnt/faces") == Path("/mnt/faces")
