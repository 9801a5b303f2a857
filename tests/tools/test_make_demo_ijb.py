"""The demo benchmark: the official layout, drawn the same again, complete or not there."""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.align import REFERENCE, align
from preparation.drawn.ijb import DemoIjb, loose_crop, make_demo_ijb
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 4


def tool(*arguments, status=0) -> str:
    command = [sys.executable, "tools/make_demo_ijb.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == status, done.stderr
    return done.stderr.strip().splitlines()[-1] if status else done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("ijb") / "IJB_release"
    assert "written" in tool("--out", root, "--people", PEOPLE)
    return root


def test_the_files_are_the_official_ones(release):
    assert [path.name for path in release.iterdir()] == ["IJBC"]
    assert {path.name for path in (release / "IJBC").iterdir()} == {"loose_crop", "meta", "demo.json"}
    assert {path.name for path in (release / "IJBC/meta").iterdir()} == {
        "ijbc_face_tid_mid.txt",
        "ijbc_name_5pts_score.txt",
        "ijbc_template_pair_label.txt",
        "ijbc_1N_gallery_G1.csv",
        "ijbc_1N_gallery_G2.csv",
        "ijbc_1N_probe_mixed.csv",
    }


def test_templates_are_of_images_and_videos(release):
    lines = [line.split() for line in (release / "IJBC/meta/ijbc_face_tid_mid.txt").read_text().splitlines()]
    assert [name for name, *_ in lines] == [f"{number}.jpg" for number in range(1, 14 * PEOPLE + 1)]
    frames = Counter((template, media) for _, template, media in lines)
    assert Counter(frames.values()) == {1: 7 * PEOPLE, 4: PEOPLE, 3: PEOPLE}
    # One video's frames are in two templates under the same number.
    assert Counter(media for (_, media), count in frames.items() if count > 1) == {
        str(person): 2 for person in range(1, PEOPLE + 1)
    }


def test_pairs_and_galleries_tell_the_same_of_people(release):
    meta = release / "IJBC/meta"
    rosters = {}
    for name in ("gallery_G1", "gallery_G2", "probe_mixed"):
        with (meta / f"ijbc_1N_{name}.csv").open() as file:
            rosters[name] = {int(row["TEMPLATE_ID"]): int(row["SUBJECT_ID"]) for row in csv.DictReader(file)}
    first, second, probes = rosters.values()
    assert len(first) == len(second) == PEOPLE // 2 and set(first.values()).isdisjoint(second.values())
    gallery = first | second
    assert set(probes.values()) == set(gallery.values()) and set(probes).isdisjoint(gallery)
    pairs = [tuple(map(int, line.split())) for line in (meta / "ijbc_template_pair_label.txt").read_text().splitlines()]
    assert {(a, b) for a, b, _ in pairs} == {(a, b) for a in gallery for b in probes} and len(pairs) == 3 * PEOPLE**2
    assert all(label == (gallery[a] == probes[b]) for a, b, label in pairs)


def test_scores_and_landmarks_are_those_of_the_images(release):
    for line in (release / "IJBC/meta/ijbc_name_5pts_score.txt").read_text().splitlines():
        name, *numbers = line.split()
        height, width = cv2.imread(str(release / "IJBC/loose_crop" / name)).shape[:2]
        points = np.array(numbers[:-1], float).reshape(5, 2)
        assert (points > 0).all() and (points < (width, height)).all() and width > 84 and height > 84
        assert 0 < float(numbers[-1]) < 1


def test_a_loose_crop_aligns_to_the_face_it_was_made_of():
    rng = np.random.default_rng(0)
    face = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (112, 112), interpolation=cv2.INTER_CUBIC)
    for _ in range(20):
        picture, matrix = loose_crop(face, rng)
        aligned = align(picture, REFERENCE @ matrix[:, :2].T + matrix[:, 2])
        difference = np.abs(aligned[4:-4, 4:-4].astype(int) - face[4:-4, 4:-4])
        assert difference.mean() < 2 and np.percentile(difference, 99) < 12


def test_the_same_again_and_another_seed(release, tmp_path):
    make_demo_ijb(tmp_path / "again", DemoIjb("IJBC", PEOPLE, 0))
    assert contents(tmp_path / "again/IJBC") == contents(release / "IJBC")
    make_demo_ijb(tmp_path / "other", DemoIjb("IJBB", PEOPLE, 1))
    other = contents(tmp_path / "other/IJBB")
    assert "meta/ijbb_1N_gallery_S2.csv" in other
    assert other["loose_crop/1.jpg"] != (release / "IJBC/loose_crop/1.jpg").read_bytes()


def test_what_is_there_is_left_alone_or_replaced_whole(release, tmp_path):
    assert "already there" in tool("--out", release, "--people", PEOPLE)
    assert "holds a demo benchmark with" in tool("--out", release, "--people", PEOPLE, "--seed", 5, status=2)
    parameters = DemoIjb("IJBC", PEOPLE, 0)
    make_demo_ijb(tmp_path, parameters)
    (tmp_path / "IJBC/loose_crop/99.jpg").write_bytes(b"")
    assert make_demo_ijb(tmp_path, DemoIjb("IJBC", PEOPLE + 1, 0), force=True)
    assert not (tmp_path / "IJBC/loose_crop/99.jpg").exists() and [path.name for path in tmp_path.iterdir()] == ["IJBC"]
    assert json.loads((tmp_path / "IJBC/demo.json").read_text())["people"] == PEOPLE + 1


def test_anything_else_is_never_replaced(tmp_path):
    (tmp_path / "IJBC").mkdir()
    (tmp_path / "IJBC/mine").write_text("photographs")
    said = tool("--out", tmp_path, "--people", PEOPLE, "--force", status=2)
    assert "holds something that is not a demo benchmark" in said
    assert contents(tmp_path) == {"IJBC/mine": b"photographs"}


@pytest.mark.parametrize(("argument", "value", "sentence"), [("people", 3, "people is 3"), ("seed", -1, "seed is -1")])
def test_impossible_parameters(tmp_path, argument, value, sentence):
    with pytest.raises(UserError, match=sentence):
        make_demo_ijb(tmp_path, DemoIjb(**({"target": "IJBC", "people": 4, "seed": 0} | {argument: value})))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written" in tool("--out", tmp_path / "file/release", "--people", PEOPLE, status=2)
