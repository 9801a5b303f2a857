"""The inspector as a user runs it: what it prints, and its exit status."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.ofrecord import index_path
from tests.data.ofrecord_sets import faces, make_set

TOOL = Path(__file__).resolve().parents[2] / "tools" / "inspect_dataset.py"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    images, labels = faces([4] * 5)
    return make_set(tmp_path_factory.mktemp("inspect") / "faces", images, labels, 6)


def run(*words, **how):
    return subprocess.run([sys.executable, str(TOOL), *map(str, words)], capture_output=True, text=True, **how)


def test_all_is_well(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    done = run("copy", "--verify", "--duplicates", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    size = sum(path.stat().st_size for path in source.glob("part-?????")) / 1e6
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "20 images of 6 identities in 3 parts",
        f"{size:.1f} MB; 1 identities without images",
        "images per identity: min 4, median 4, mean 4, max 4",
    ]
    assert "0 pictures under several identities" in lines and "0 faults" in lines
    assert lines[-1].startswith("Report: copy/inspection (contact_sheet.png, ")
    assert json.loads((copy / "inspection/summary.json").read_text())["images"] == 20
    assert run("copy", cwd=tmp_path).returncode == 0  # the report is no part of the set


def test_what_is_wrong_is_listed_and_exit_1(source, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    offset, length, _ = np.load(index_path(copy / "part-00000"))[0].tolist()
    with open(copy / "part-00000", "r+b") as file:
        file.seek(offset)
        file.write(bytes(length))
    done = run(copy, "--out", tmp_path / "report")
    assert done.returncode == 1
    assert f"2 faults, listed in {tmp_path / 'report/faults.csv'}\n" in done.stdout
    assert "part-00000,0,the image is broken" in (tmp_path / "report/faults.csv").read_text()


def test_duplicates_alone_are_exit_1(tmp_path):
    images, labels = faces([4] * 5)
    folder = make_set(tmp_path / "faces", [*images, images[0]], [*labels, 4], 5)
    assert run(folder).returncode == 0
    done = run(folder, "--duplicates")
    assert done.returncode == 1
    assert f"1 pictures under several identities, listed in {folder / 'inspection/duplicates.csv'}\n" in done.stdout


def test_faults_of_the_user_are_one_sentence_and_exit_2(source, tmp_path):
    for words, expected in (
        (["nowhere"], "dataset.json is missing"),
        ([source, "--workers", "0"], "at least 1, not 0"),
    ):
        done = run(*words, "--out", "report", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and expected in done.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_no_report(tmp_path):
    images, labels = faces([10] * 10)
    folder = make_set(tmp_path / "set" / "faces", images * 30, labels * 30, 10, parts=100)
    (tmp_path / "out").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(TOOL), str(folder), "--verify", "--out", str(tmp_path / "out/report")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "out/.report.unfinished/_part-00003.csv").exists() and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    errors = process.communicate()[1]
    assert process.returncode == 130 and errors.splitlines()[-1] == "stopped"
    assert not list((tmp_path / "out").iterdir())
