"""Preparing a set as a user does: the kind of source is found out, faults are a sentence, kills lose nothing."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.data.mxnet_sets import jpegs
from tests.preparation.sources.people import COUNTS, as_folder, as_list, as_recordio, as_shards

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare_dataset.py"


def command(source, output, *more):
    return [sys.executable, TOOL, *map(str, [source, "--out", output, "--num_part", 2, "--workers", 1, *more])]


def run(*arguments, **more):
    return subprocess.run(command(*arguments), capture_output=True, text=True, **more)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("make", [as_recordio, as_folder, as_list, as_shards])
def test_finds_out_what_the_source_is(tmp_path, make):
    make(tmp_path / "in")
    done = run("in", "out", cwd=tmp_path, check=True)
    assert f"{sum(COUNTS)} images of {len(COUNTS)} identities in 2 parts" in done.stdout
    again = run("out", "again", "--no-shuffle", cwd=tmp_path, check=True)
    assert f"{sum(COUNTS)} images" in again.stdout


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_archives(tmp_path, kind):
    shutil.make_archive(tmp_path / "faces", kind, as_folder(tmp_path / "in"))
    done = run(f"faces.{kind}", "out", cwd=tmp_path, check=True)
    assert f"{sum(COUNTS)} images of {len(COUNTS)} identities in 2 parts" in done.stdout
    run("in", "straight", cwd=tmp_path, check=True)
    for name in ("part-00000", "part-00001", "classes.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def two_formats(folder):
    as_recordio(folder)
    as_list(folder)


FAULTS = {
    "nothing there": (lambda _: None, [], "in is neither a file nor a folder."),
    "two formats": (two_formats, [], "in holds train.rec and label.txt; say with --format which is meant"),
    "a root of a folder": (as_folder, ["--root", "."], "--root says where the names of a list begin, but"),
    "a label of a folder": (as_folder, ["--label", "cls"], "--label says where the labels of a WebDataset are, but"),
    "another format": (as_folder, ["--format", "recordio"], "in/property cannot be read"),
    "parts alone": (lambda f: (f.mkdir(), (f / "part-00000").touch()), [], "holds OFRecord parts but no dataset.json"),
    "a compressed archive": (lambda f: f.write_bytes(b"\x1f\x8b"), ["--format", "archive"], "(gzip), so that no image"),
    "an empty folder": (lambda f: f.mkdir(), [], "in holds no image."),
    "more parts than images": (as_folder, ["--num_part", 11], "--num_part 11 is more than the 10 record(s)"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_one_sentence_and_exit_2(tmp_path, name):
    make, more, expected = FAULTS[name]
    make(tmp_path / "in")
    failed = run(tmp_path / "in", tmp_path / "out", *more)
    assert failed.returncode == 2
    assert expected in failed.stderr and len(failed.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("out/part-*"))


def test_a_file_of_recordio_is_not_a_list(tmp_path):
    failed = run(as_recordio(tmp_path / "in") / "train.rec", tmp_path / "out")
    assert failed.returncode == 2
    assert f"is one file of a set of recordio; give the folder, {tmp_path / 'in'}." in failed.stderr


def test_killed_and_run_again_gives_the_same_bytes(tmp_path):
    images = jpegs(30)
    for number in range(600):
        person = tmp_path / "in" / f"{number % 20:02d}"
        person.mkdir(parents=True, exist_ok=True)
        (person / f"{number}.jpg").write_bytes(images[number % 30])
    run(tmp_path / "in", tmp_path / "straight", "--num_part", 100, check=True)
    killed = command(tmp_path / "in", tmp_path / "out", "--num_part", 100)
    temporary = {**os.environ, "TMPDIR": str(tmp_path)}  # where a killed run leaves its list of names
    process = subprocess.Popen(killed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=temporary)
    while len(list(tmp_path.glob("out/_converting/part-*.json"))) < 3 and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    time.sleep(0.2)
    assert 0 < len(list(tmp_path.glob("out/part-?????"))) < 100
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    run(tmp_path / "in", tmp_path / "out", "--num_part", 100, check=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_no_room_for_the_list_of_images(tmp_path):
    """The list of a folder's images is larger than any file may be."""
    person = tmp_path / "in" / "anna"
    person.mkdir(parents=True)
    for number in range(50):
        (person / f"{number:0250d}").write_bytes(b"")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))

    failed = run(tmp_path / "in", tmp_path / "out", preexec_fn=limit)
    assert failed.returncode == 2
    assert "The list of images cannot be kept in" in failed.stderr and "File too large; TMPDIR" in failed.stderr
