"""What every tool for data has to survive: killed workers, full disks, names of any bytes, links, pipes as files."""

import contextlib
import io
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data.images import ImageChecker
from tests.data.ofrecord_sets import faces, make_set
from tests.preparation.sources.people import as_folder, as_list
from tools import (
    edit_dataset,
    index_ofrecord,
    inspect_dataset,
    mx_recordio_2_images,
    mx_recordio_2_ofrecord,
    ofrecord_2_recordio,
    prepare_dataset,
)
from utils import folders
from utils.errors import UserError

PARTS = ["--num_part", "3", "--workers", "2"]
# How each tool is called, given its source and its output.
TOOLS = {
    "folder": lambda s, o: (prepare_dataset, [f"{s}/people", "--out", o, *PARTS]),
    "archive": lambda s, o: (prepare_dataset, [f"{s}/people.tar", "--out", o, *PARTS]),
    "list": lambda s, o: (prepare_dataset, [f"{s}/list", "--out", o, *PARTS]),
    "recordio": lambda s, o: (
        mx_recordio_2_ofrecord,
        ["--data_dir", f"{s}/a-recordio", "--output_filepath", o, *PARTS],
    ),
    "again": lambda s, o: (prepare_dataset, [f"{s}/a", "--out", o, *PARTS]),
    "images": lambda s, o: (mx_recordio_2_images, ["--root_dir", f"{s}/a-recordio", "--output_dir", o]),
    "back": lambda s, o: (ofrecord_2_recordio, [f"{s}/a", "--out", o]),
    "inspect": lambda s, o: (inspect_dataset, [f"{s}/a", "--out", o, "--duplicates", "--workers", "2"]),
    "subset": lambda s, o: (edit_dataset, ["subset", f"{s}/a", "--out", o, "--max_images", "3", "--workers", "2"]),
    "merge": lambda s, o: (edit_dataset, ["merge", f"{s}/a", f"{s}/b", "--out", o, "--workers", "2"]),
    "split": lambda s, o: (edit_dataset, ["split", f"{s}/a", "--out", o, "--hold_out", "4", "--workers", "2"]),
}
ALL_OR_NOTHING = ("images", "back", "inspect", "subset", "merge", "split")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name, first in (("a", 0), ("b", 6)):
        images, labels = faces([5] * 6, first)
        make_set(folder / name, images, labels, 6)
    shutil.make_archive(folder / "people", "tar", as_folder(folder / "people"))
    as_list(folder / "list")
    return folder


def run(name, source, output):
    tool, words = TOOLS[name](str(source), str(output))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        tool.main(words)


def contents(folder):
    """{path: bytes} of all files, but for the times and names of the sources that a manifest keeps."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if Path(name).name != "dataset.json"}


@pytest.fixture(scope="module")
def straight(sources, tmp_path_factory):
    """What each tool writes when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("straight")
    for name in TOOLS:
        run(name, sources, folder / name)
    return {name: contents(folder / name) for name in TOOLS}


@pytest.mark.parametrize("name", TOOLS)
def test_names_of_any_bytes(sources, straight, tmp_path, name):
    odd = Path(os.fsdecode(b"two words\nnew line, zo\xc3\xab, \xff no UTF-8"))
    longest = os.fsdecode(b"n" * 254 + b"\xff")
    shutil.copytree(sources, tmp_path / odd / "sources")
    run(name, tmp_path / odd / "sources", tmp_path / odd / longest)
    assert contents(tmp_path / odd / longest) == straight[name]
    assert sorted(path.name for path in (tmp_path / odd).iterdir()) == [longest, "sources"]


@pytest.mark.parametrize("name", [name for name in TOOLS if name not in ("images", "back")])  # these have no workers
def test_a_killed_worker(sources, straight, tmp_path, monkeypatch, name):
    end_workers(monkeypatch)
    with pytest.raises(UserError, match="A worker was killed"):
        run(name, sources, tmp_path / "out")
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    assert not left if name in ALL_OR_NOTHING else not [path for path in left if path.endswith(("SUCCESS", ".tmp"))]
    monkeypatch.undo()
    run(name, sources, tmp_path / "out")
    assert contents(tmp_path / "out") == straight[name]


def end_workers(monkeypatch):
    """Each worker is killed as it looks at its fourth image."""
    check, seen = ImageChecker.check, []

    def end(self, *image):
        seen.append(image)
        if len(seen) == 4 and multiprocessing.parent_process():
            os.kill(os.getpid(), signal.SIGKILL)
        return check(self, *image)

    monkeypatch.setattr(ImageChecker, "check", end)


def test_a_killed_worker_of_the_index_tool(sources, tmp_path, monkeypatch):
    copy = shutil.copytree(sources / "a", tmp_path / "copy")
    before = contents(copy)
    for path in copy.glob("*.npy"):
        path.unlink()
    (copy / "part-00001.index.npy.0123abcd.tmp").write_bytes(b"half")  # of a worker that was killed as it wrote
    end_workers(monkeypatch)
    with pytest.raises(UserError, match="A worker was killed"):
        index_ofrecord.main([str(copy), "--workers", "2"])
    assert not list(copy.glob("*.tmp"))
    monkeypatch.undo()
    index_ofrecord.main([str(copy), "--workers", "2"])
    assert contents(copy) == before


@pytest.mark.parametrize("name", ALL_OR_NOTHING)
def test_killed_before_the_output_has_its_name(sources, straight, tmp_path, monkeypatch, name):
    monkeypatch.setattr(folders, "sync_all", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    process = multiprocessing.get_context("fork").Process(target=run, args=(name, sources, tmp_path / "out"))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".out.unfinished"]
    monkeypatch.undo()
    run(name, sources, tmp_path / "out")
    assert contents(tmp_path / "out") == straight[name]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.fixture
def small_disk(tmp_path):
    """Makes a disk of so many kilobytes."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def make(kilobytes):
        mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk]
        if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("disks cannot be mounted here")
        return disk

    yield make
    if disk.is_mount():
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("name", [name for name in TOOLS if name != "inspect"])
def test_a_full_disk(sources, small_disk, name):
    disk = small_disk(16)
    with pytest.raises(UserError, match=r"No space left on device|[kMG]B free"):
        run(name, sources, disk / "out")
    assert not list(disk.rglob("_SUCCESS")) and not list(disk.rglob("*.tmp"))
    assert name not in ALL_OR_NOTHING or not list(disk.iterdir())


def test_an_inspection_on_a_full_disk(sources, small_disk, tmp_path):
    """A table in a memory map that the disk has no room for must not end in SIGBUS."""
    images, labels = faces([5] * 6)
    make_set(tmp_path / "set", images * 20, labels * 20, 6, parts=1)
    tool, disk = Path(inspect_dataset.__file__), small_disk(12)
    words = [sys.executable, tool, tmp_path / "set", "--out", disk / "report", "--workers", "1"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "No space left on device." in done.stderr and not list(disk.iterdir())


@pytest.mark.parametrize("limit", [100, 3000])
@pytest.mark.parametrize("name", ALL_OR_NOTHING)
def test_files_that_may_not_grow(sources, tmp_path, name, limit):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with pytest.raises(UserError, match=r"failed: (?!None)"):
            run(name, sources, tmp_path / "out")

    process = multiprocessing.get_context("fork").Process(target=limited)
    process.start()
    process.join()
    assert process.exitcode == 0 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["subset", "folder", "again"])
def test_outputs_that_are_links(sources, straight, tmp_path, name):
    for link, target in (("loop", "loop"), ("there", "made"), ("gone", "later")):
        (tmp_path / link).symlink_to(target)
    (tmp_path / "made").mkdir()
    with pytest.raises(UserError, match=r"leads to itself|Too many levels of symbolic links"):
        run(name, sources, tmp_path / "loop")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gone", "loop", "made", "there"]
    if name in ALL_OR_NOTHING:
        for link, target in (("there", "made"), ("gone", "later")):
            run(name, sources, tmp_path / link)
            assert contents(tmp_path / target) == straight[name] and (tmp_path / link).is_symlink()
        tool, words = TOOLS[name](str(sources), str(tmp_path / "there"))
        for _ in range(2):
            tool.main([*words, "--force"])
        assert contents(tmp_path / "made") == straight[name]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["gone", "later", "loop", "made", "there"]


@pytest.mark.parametrize("name", ["subset", "merge", "split", "back", "again"])
def test_pipes_and_folders_that_look_like_verification_sets(sources, straight, tmp_path, name):
    shutil.copytree(sources, tmp_path / "in")
    os.mkfifo(tmp_path / "in/a/pipe.bin")
    (tmp_path / "in/a/folder.bin").mkdir()
    run(name, tmp_path / "in", tmp_path / "out")
    assert contents(tmp_path / "out") == straight[name]


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("back", "a/dataset.json"),
        ("inspect", "a/part-00000.index.npy"),
        ("subset", "a/part-00000.index.npy"),
        ("recordio", "a-recordio/property"),
        ("images", "a-recordio/train.idx"),
        ("recordio", "a-recordio/train.rec"),
    ],
)
def test_pipes_are_not_waited_for(sources, tmp_path, name, spoilt):
    shutil.copytree(sources, tmp_path / "in")
    (tmp_path / "in" / spoilt).unlink()
    os.mkfifo(tmp_path / "in" / spoilt)
    if name == "inspect":
        run(name, tmp_path / "in", tmp_path / "out")
        assert f"{spoilt} is no regular file" in (tmp_path / "out/faults.csv").read_text()
    else:
        with pytest.raises(UserError, match=f"{spoilt} is no regular file"):
            run(name, tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("spoil", [os.mkfifo, os.mkdir])
def test_a_part_that_is_no_file(sources, tmp_path, spoil):
    copy = shutil.copytree(sources / "a", tmp_path / "a")
    (copy / "part-00001").unlink()
    spoil(copy / "part-00001")
    with pytest.raises(UserError, match="part-00001 is no regular file"):
        index_ofrecord.main([str(copy)])
    (copy / os.fsdecode(b"\xff.tmp")).touch()
    assert inspect_dataset.main([str(copy), "--out", str(tmp_path / "report"), "--workers", "1"]) == 1
    rows = (tmp_path / "report/faults.csv").read_bytes().splitlines()
    assert b"part-00001,,the part cannot be read: it is no regular file" in rows
    assert b"\xff.tmp,,left behind by a conversion that did not finish" in rows
