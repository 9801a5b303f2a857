"""tools/align_dataset.py on real photographs, with everything that goes wrong among them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data.manifest import Manifest
from evaluation.sources import RecordImages, read_image
from tests.preparation.align.photographs import HOSTILE_FILE, HOSTILE_PERSON, write_photographs
from tests.recognition.faces import ASTRONAUT, FRIENDS, GRAY, save
from tools.align_dataset import main
from utils.errors import UserError
from utils.pixels import ImageShape, fitted

TOOL = Path(__file__).resolve().parents[2] / "tools" / "align_dataset.py"
REASONS = {
    "Eileen/broken.jpg": "broken",
    "Eileen/empty.jpg": "empty",
    "Eileen/notes.txt": "no picture",
    "Eileen/huge.png": "60000x60000 pixels, beyond --max_pixels",
    "Eileen/link.jpg": "cannot be read",
    "Eileen/pipe.jpg": "cannot be read",
    "Eileen/small.png": "size 26 is below 40 pixels",
    "Eileen/folder/loop": "a link to a folder that it is in",
    "things/coffee.png": "no face",
    "things/coins.png": "no face",
    "things/chelsea.png": "no face",
    "loose.png": "in nobody's folder",
}
HOSTILE = os.fsdecode(HOSTILE_PERSON + b"/" + HOSTILE_FILE)
KEPT = {"Eileen/astronaut.png", "Eileen/folder/again/astronaut.png", "Eileen/turned.jpg", "friends/t1.jpg", HOSTILE}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("photos") / "photos")


@pytest.fixture(scope="module")
def done(photos, tmp_path_factory):
    output = tmp_path_factory.mktemp("done") / "out"
    main([str(photos), "--out", str(output), "--workers", "2"])
    return output


def lines(output: Path) -> dict[str, dict[str, str]]:
    with open(output / "report/photos.csv", newline="", errors="surrogateescape") as file:
        return {row["photo"]: row for row in csv.DictReader(file)}


def files(folder: Path) -> dict[bytes, bytes]:
    return {os.fsencode(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_line_for_each_photograph(done):
    rows = lines(done)
    assert {name for name, row in rows.items() if row["face"]} == KEPT
    assert {name: row["left_out_because"] for name, row in rows.items() if not row["face"]} == REASONS
    assert rows["friends/t1.jpg"]["candidates"] == "6" and float(rows["friends/t1.jpg"]["score"]) > 0.8


def test_faces_are_aligned_and_upright(done):
    rows = lines(done)
    faces = {name: read_image(done / "faces" / rows[name]["face"]) for name in KEPT}
    assert all(face.shape == (112, 112, 3) for face in faces.values())
    assert {path.name for path in (done / "faces").iterdir()} == {"Eileen", "friends", os.fsdecode(HOSTILE_PERSON)}
    upright, turned = faces["Eileen/astronaut.png"].astype(int), faces["Eileen/turned.jpg"].astype(int)
    assert np.abs(upright - turned).mean() < 6, "EXIF's orientation is obeyed"
    assert np.abs(upright - turned[::-1]).mean() > 20


def test_counts_and_a_sheet(done):
    summary = json.loads((done / "report/summary.json").read_text())
    assert (summary["photos"], summary["kept"], summary["people"]) == (15, 5, 4)
    assert (summary["people_without_a_face"], summary["several_faces"]) == (1, 1)
    assert summary["left_out"]["no face"] == 3 and summary["left_out"]["size is below 40 pixels"] == 1
    assert sum(summary["left_out"].values()) == len(REASONS)
    height, width = read_image(done / "report/rejects.png").shape[:2]
    assert width > 3 * 144 and height > 144, "three things and a small face"
    assert {path.name for path in done.iterdir()} == {"faces", "report"}, "no notes are left"


def test_workers_do_not_change_the_bytes(photos, done, tmp_path):
    main([str(photos), "--out", str(tmp_path / "out"), "--workers", "1"])
    assert files(tmp_path / "out") == files(done)


def test_a_set_to_train_on(photos, tmp_path, capsys):
    main([str(photos), "--out", str(tmp_path / "out"), "--ofrecord", "--num_part", "2"])
    manifest = Manifest.load(tmp_path / "out/ofrecord")
    assert (manifest.num_records, manifest.num_classes, len(manifest.parts), manifest.skipped) == (5, 3, 2, 0)
    assert RecordImages(tmp_path / "out/ofrecord").decode(0, 5).shape == (5, 112, 112, 3)
    assert "5 faces of 15 photographs, 1 with several faces" in capsys.readouterr().out


def test_faces_of_another_size(photos, done, tmp_path, capsys):
    size = (160, 128)
    main([str(photos), "--out", str(tmp_path / "out"), "--ofrecord", "--num_part", "1", "--image_size", "160x128"])
    manifest = Manifest.load(tmp_path / "out/ofrecord")
    assert (manifest.image_size, manifest.num_records, manifest.skipped) == (size, 5, 0)
    assert json.loads((tmp_path / "out/report/summary.json").read_text())["image_size"] == list(size)
    name = lines(done)["Eileen/astronaut.png"]["face"]
    usual = fitted(read_image(done / "faces" / name), ImageShape(*size)).astype(int)
    actual = RecordImages(tmp_path / "out/ofrecord").decode(0, 5)
    assert min(np.abs(face - usual).mean() for face in actual) < 6, "the same framing"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"ofrecord", "report"}


def test_one_of_a_kind_is_said_as_one(tmp_path, capsys):
    save(tmp_path / "photos/Eileen/1998/suit.png", read_image(ASTRONAUT))
    main([str(tmp_path / "photos"), "--out", str(tmp_path / "out"), "--workers", "1"])
    said = capsys.readouterr().out
    assert "1 face of 1 photograph, 0 with several faces\n1 person, 0 of them" in said
    assert lines(tmp_path / "out")["Eileen/1998/suit.png"]["face"] == "Eileen/000000000.jpg"


def test_a_killed_run_goes_on(tmp_path):
    photos = tmp_path / "photos"
    picture = read_image(ASTRONAUT)[::2, ::2]
    for number in range(64):
        save(photos / f"p{number % 7}" / f"{number:03}.png", np.ascontiguousarray(picture[: 150 + number % 9]))
    main([str(photos), "--out", str(tmp_path / "whole"), "--workers", "2"])
    output = tmp_path / "out"
    command = [sys.executable, str(TOOL), str(photos), "--out", str(output), "--workers", "2"]
    run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (noted := list(output.glob(".aligning/slice-*.json"))):
        assert run.poll() is None, "ended too early to be killed"
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not (output / "report/summary.json").exists()
    kept = output / "faces" / next(row["kept"] for row in json.loads(noted[0].read_text()) if row["kept"])
    os.utime(kept, (1, 1))
    damaged = next(name for name in ("slice-000000000.json", "slice-000000016.json") if name != noted[0].name)
    (output / ".aligning" / damaged).write_bytes(b"")  # as a power cut leaves it: that slice is done again
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    assert kept.stat().st_mtime == 1, "done twice"
    assert files(output) == files(tmp_path / "whole")


def test_other_settings_begin_anew_and_a_finished_one_is_kept(photos, done, tmp_path):
    output = tmp_path / "out"
    main([str(photos), "--out", str(output)])
    with pytest.raises(UserError, match="already holds aligned faces; --force replaces them"):
        main([str(photos), "--out", str(output), "--single"])
    main([str(photos), "--out", str(output), "--single", "--min_size", "20", "--force"])
    rows = lines(output)
    assert rows["friends/t1.jpg"]["left_out_because"] == "6 faces" and rows["Eileen/small.png"]["face"]
    assert not (output / "faces/friends").exists()


def test_mistakes(photos, tmp_path):
    save(tmp_path / "blank/person/gray.png", np.full((90, 90, 3), GRAY, np.uint8))
    (tmp_path / "nobody").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").touch()
    out = ["--out", str(tmp_path / "out")]
    cases = {
        (str(tmp_path / "no"), *out): "no cannot be read: No such file",
        (str(tmp_path / "nobody"), *out): "holds no photographs",
        (str(photos), "--out", str(photos / "out")): "inside each other",
        (str(photos), "--out", str(tmp_path / "full")): r"not of an alignment \(thesis\.txt\)",
        (str(photos), "--out", str(tmp_path / "full/thesis.txt")): "File exists|Not a directory",
        (str(photos), *out, "--detector", str(FRIENDS)): "is not a detector that can be run",
        (str(photos), *out, "--min_score", "1.5"): "--min_score between 0 and 1",
        (str(photos), *out, "--min_score", "0.7", "--detector", "cascade"): "the cascade has no scores",
        (str(photos), *out, "--workers", "0"): "--workers must be at least 1",
        (str(tmp_path / "blank"), *out): r"no photograph gave a face; .*photos\.csv says why",
    }
    for arguments, sentence in cases.items():
        with pytest.raises(UserError, match=sentence):
            main(list(arguments))
    assert (tmp_path / "full/thesis.txt").exists() and not (tmp_path / "out/faces").exists()
