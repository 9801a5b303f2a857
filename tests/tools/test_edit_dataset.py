"""The dataset editor as a user runs it: what it says, exit status, interruptions and full disks."""

import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.manifest import Manifest
from tests.data.ofrecord_sets import contents, digests, faces, make_set, read_records
from tools.edit_dataset import main

TOOL = Path(__file__).resolve().parents[2] / "tools" / "edit_dataset.py"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    images, labels = faces([6] * 12)
    return make_set(tmp_path_factory.mktemp("edit") / "faces", images, labels, 12)


def command(*words):
    return [sys.executable, str(TOOL), *map(str, words)]


def run(*words, **how):
    return subprocess.run(command(*words), capture_output=True, text=True, **how)


def sentence(done):
    """The one line that a failed run printed, after its progress bars."""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_subset_merge_and_split_give_every_image_back(source, tmp_path):
    done = run("split", source, "--out", "split", "--hold_out", 4, "--pairs", 40, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train: 48 images of 8 identities in 3 parts\n" in done.stdout
    assert "held_out: 24 images of 4 identities in 3 parts\n" in done.stdout
    assert "train/held_out.bin: 40 pairs; verify on them with val_targets=held_out\n" in done.stdout
    merged = run("merge", "split/train", "split/held_out", "--out", "merged", "--num_part", 7, cwd=tmp_path)
    assert "72 images of 12 identities in 7 parts\nDone: merged\n" in merged.stdout
    actual = sorted(digests(read_records(tmp_path / "merged")).values())
    assert actual == sorted(digests(read_records(source)).values())
    main(["subset", str(tmp_path / "merged"), "--out", str(tmp_path / "few"), "--max_images", "2", "--workers", "1"])
    assert Manifest.load(tmp_path / "few").num_records == 24


def test_pairs_are_of_the_held_out_people_alone(source, tmp_path):
    main(["split", str(source), "--out", str(tmp_path / "out"), "--hold_out", "4", "--pairs", "40", "--workers", "1"])
    with open(tmp_path / "out/train/held_out.bin", "rb") as file:
        images, issame = pickle.load(file)
    who = {image: label for label, image in read_records(tmp_path / "out/held_out")}
    assert len(images) == 80 and sum(issame) == 20
    assert [who[a] == who[b] for a, b in zip(images[::2], images[1::2], strict=True)] == issame
    assert all(a != b for a, b in zip(images[::2], images[1::2], strict=True))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["subset", "nowhere"], "nowhere/dataset.json is missing"),
        (["subset", "SET", "--fraction", "1.5"], "--fraction 1.5 is not possible"),
        (["subset", "SET", "--seed", "-1"], "--seed -1 is not possible"),
        (["subset", "SET", "--drop", "nowhere.csv"], "nowhere.csv cannot be read: No such file"),
        (["merge", "SET"], "Merging takes two or more different sets."),
        (["split", "SET", "--hold_out", "12"], "--hold_out 12 is not possible"),
        (["split", "SET", "--hold_out", "2", "--pairs", "41"], "41 pairs are not possible"),
    ],
)
def test_faults_are_one_sentence_and_exit_2(source, tmp_path, words, expected):
    words = [str(source) if word == "SET" else word for word in words]
    done = run(*words, "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert expected in sentence(done)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_is_one_sentence_and_leaves_what_was_there(source, tmp_path):
    """The system refuses files past 30,000 bytes, as a full disk would."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))

    for force in ([], ["--force"]):
        before = contents(tmp_path)
        done = run("subset", source, "--out", tmp_path / "out", *force, preexec_fn=limit)
        assert done.returncode == 2
        assert "failed: File too large." in sentence(done)
        assert contents(tmp_path) == before and not list(tmp_path.glob(".*"))
        main(["subset", str(source), "--out", str(tmp_path / "out"), "--max_images", "1", "--workers", "1", *force])


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A set that takes a while to write, one part a record."""
    images, labels = faces([10] * 40)
    return make_set(tmp_path_factory.mktemp("slow") / "faces", images, labels, 40, parts=400)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_nothing_that_looks_finished(slow, tmp_path, how):
    words = ("subset", slow, "--out", tmp_path / "out", "--workers", 2)
    process = subprocess.Popen(command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(list(tmp_path.glob(".out.unfinished/part-?????"))) < 3 and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    second = run(*words)
    assert second.returncode == 2 and "Another run is writing" in sentence(second)
    process.send_signal(how)
    process.send_signal(signal.SIGCONT)
    errors = process.communicate()[1]
    assert not (tmp_path / "out").exists()
    if how == signal.SIGINT:
        assert process.returncode == 130 and errors.splitlines()[-1] == "stopped"
        assert not list(tmp_path.iterdir())
    time.sleep(0.1)  # its workers die with it
    assert run(*words).returncode == 0
    assert read_records(tmp_path / "out") == read_records(slow)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
