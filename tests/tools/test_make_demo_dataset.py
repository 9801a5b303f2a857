"""The demo dataset as real mxnet reads it back, and what is refused."""

import csv
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.drawn import USUAL, draw_face
from evaluation.bin_set import BinSet
from preparation.drawn import DemoParameters, make_demo_dataset
from preparation.drawn.dataset import HELD_OUT
from tools.make_demo_dataset import main
from utils.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "make_demo_dataset.py"
PEOPLE, IMAGES, PAIRS = 5, 3, 40
USUAL_SET = DemoParameters(PEOPLE, IMAGES, seed=1, pairs=PAIRS)
PIXELS = {  # their number, mean and deviation
    "train.rec": (564480, 130.4982, 61.5127),
    "demo.bin": (3010560, 108.3977, 63.2753),
    "demo_hard.bin": (3010560, 118.8982, 69.0149),
}
LEAST = DemoParameters(2, 1, seed=0, pairs=40)
HARDER = DemoParameters(6, 12, 1, PAIRS, light=1.5, low_quality=0.5, long_tail=4.0, wrong_labels=0.2)
FILES = {"train.rec", "train.idx", "property", "demo.bin", "demo_hard.bin", "demo.json"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "faces"
    assert make_demo_dataset(folder, USUAL_SET, workers=2)
    return folder


def test_the_folder_appears_complete_and_alone(dataset):
    assert {path.name for path in dataset.iterdir()} == FILES
    assert [path.name for path in dataset.parent.iterdir()] == ["faces"]
    assert (dataset / "property").read_text().strip() == f"{PEOPLE},112,112"


def test_mxnet_reads_insightface_layout(dataset):
    from mxnet.recordio import MXIndexedRecordIO, unpack

    record = MXIndexedRecordIO(str(dataset / "train.idx"), str(dataset / "train.rec"), "r")
    assert sorted(record.keys) == list(range(1 + PEOPLE * IMAGES + PEOPLE))
    header, _ = unpack(record.read_idx(0))
    first = 1 + PEOPLE * IMAGES
    assert header.flag == 2 and header.label.tolist() == [first, first + PEOPLE]
    for person in range(PEOPLE):
        header, _ = unpack(record.read_idx(first + person))
        start, end = (int(key) for key in header.label)
        assert header.flag == 2 and (start, end) == (1 + person * IMAGES, 1 + (person + 1) * IMAGES)
        for key in range(start, end):
            header, jpeg = unpack(record.read_idx(key))
            assert header.flag == 0 and header.label == person
            assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED).shape == (112, 112, 3)
    record.close()


@pytest.mark.parametrize("name", ["demo.bin", "demo_hard.bin"])
def test_verification_sets_are_like_lfw_bin(dataset, name):
    images, same = pickle.loads((dataset / name).read_bytes())
    assert len(images) == 2 * PAIRS and len(same) == PAIRS
    assert all(isinstance(image, bytes) for image in images) and all(isinstance(pair, bool) for pair in same)
    assert len(set(images)) == len(images)
    for fold in np.split(np.array(same), 10):
        assert fold.tolist() == [True] * 2 + [False] * 2
    assert cv2.imdecode(np.frombuffer(images[0], np.uint8), cv2.IMREAD_UNCHANGED).shape == (112, 112, 3)


def test_pairs_are_what_they_say_and_nobody_is_trained_on_or_in_two_folds(tmp_path, monkeypatch):
    """Pictures are replaced by who is in them."""
    from concurrent.futures import ThreadPoolExecutor

    from preparation.drawn import dataset

    monkeypatch.setattr(dataset, "draw_face", lambda seed, identity, image, *_: f"{identity} {image}".encode())
    monkeypatch.setattr(dataset, "_pool", ThreadPoolExecutor)
    make_demo_dataset(tmp_path / "faces", USUAL_SET)
    seen = set()
    for name in ("demo.bin", "demo_hard.bin"):
        images, same = pickle.loads((tmp_path / "faces" / name).read_bytes())
        people = [int(image.split()[0]) for image in images]
        assert [a == b for a, b in zip(people[::2], people[1::2], strict=True)] == same
        assert min(people) >= HELD_OUT > PEOPLE
        for fold in np.split(np.array(people), 10):
            assert not seen & set(fold.tolist())
            seen |= set(fold.tolist())


def test_bytes_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    make_demo_dataset(tmp_path / "one", USUAL_SET, workers=1)
    assert contents(tmp_path / "one") == contents(dataset)


def test_finished_is_left_alone_and_other_parameters_are_refused(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.iterdir()}
    assert not make_demo_dataset(dataset, USUAL_SET)
    with pytest.raises(UserError, match=r"seed 1 \(not 2\).*--force"):
        make_demo_dataset(dataset, replace(USUAL_SET, seed=2))
    assert {path: path.stat().st_mtime_ns for path in dataset.iterdir()} == before


def test_force_replaces_a_demo_dataset_but_nothing_else(tmp_path):
    demo, precious = tmp_path / "demo", tmp_path / "precious"
    demo.mkdir()
    (demo / "demo.json").write_text(json.dumps({"identities": 3}))
    (demo / "stale").touch()
    assert make_demo_dataset(demo, LEAST, workers=1, force=True)
    assert set(contents(demo)) == FILES
    precious.mkdir()
    (precious / "thesis.tex").touch()
    with pytest.raises(UserError, match="not a demo dataset"):
        make_demo_dataset(precious, LEAST, force=True)
    assert set(contents(precious)) == {"thesis.tex"}


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        make_demo_dataset(tmp_path / "file" / "demo", LEAST, workers=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"identities": 1},
        {"images_per_identity": 0},
        {"seed": -1},
        {"pairs": 20},
        {"pairs": 50},
        {"workers": 0},
        {"light": -1.0},
        {"low_quality": float("nan")},
        {"long_tail": 1.5},
        {"wrong_labels": 1.0},
    ],
)
def test_impossible_parameters_are_refused_before_any_work(tmp_path, wrong):
    good = {"identities": 2, "images_per_identity": 1, "seed": 0, "pairs": 40, "workers": 1, **wrong}
    with pytest.raises(UserError, match=next(iter(wrong)).split("_")[0]):
        make_demo_dataset(tmp_path / "demo", workers=good.pop("workers"), parameters=DemoParameters(**good))
    assert not list(tmp_path.iterdir())


def test_the_first_demo_sets_are_what_they_were(dataset):
    """Their parameters, and their pixels as they were before harder sets could be drawn."""
    about = {"identities": PEOPLE, "images_per_identity": IMAGES, "seed": 1, "pairs": PAIRS, "version": 2}
    assert json.loads((dataset / "demo.json").read_text()) == about
    for name, (count, mean, deviation) in PIXELS.items():
        pixels = np.stack([cv2.imdecode(np.frombuffer(image, np.uint8), 1) for image in images(dataset / name)])
        assert pixels.size == count
        # Not to the bit: the sines of another CPU turn a pixel now and then.
        assert pixels.mean() == pytest.approx(mean, abs=0.01) and pixels.std() == pytest.approx(deviation, abs=0.01)


def images(path: Path) -> list[bytes]:
    from mxnet.recordio import MXIndexedRecordIO, unpack

    if path.suffix == ".bin":
        return [bytes(image) for image in pickle.loads(path.read_bytes())[0]]
    record = MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "r")
    return [unpack(record.read_idx(key))[1] for key in range(1, 1 + PEOPLE * IMAGES)]


def test_a_harder_set_says_which_labels_are_wrong(tmp_path):
    from mxnet.recordio import MXIndexedRecordIO, unpack

    folder = tmp_path / "harder"
    make_demo_dataset(folder, HARDER, workers=1)
    lines = list(csv.DictReader((folder / "wrong_labels.csv").open()))
    wrong = {int(line["key"]): line for line in lines}
    record = MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "r")
    first, end = (int(key) for key in unpack(record.read_idx(0))[0].label)
    assert end - first == 6 and len(wrong) == round(0.2 * (first - 1))
    level = HARDER.level(USUAL)
    drawn = {draw_face(1, person, image, level): person for person in range(6) for image in range(12)}
    shown = []
    for label in range(6):
        start, stop = (int(key) for key in unpack(record.read_idx(first + label))[0].label)
        for key in range(start, stop):
            header, jpeg = unpack(record.read_idx(key))
            assert header.label == label
            shown.append(drawn[jpeg])
            assert (drawn[jpeg] != label) == (key in wrong)
            if key in wrong:
                assert (wrong[key]["label"], wrong[key]["person"]) == (str(label), str(drawn[jpeg]))
    assert np.bincount(shown).tolist() == [12, 9, 7, 5, 4, 3]  # 12 * 4 ** -(p / 5), rounded
    with pytest.raises(UserError, match=r"light 1.5 \(not stated\).*wrong_labels 0.2"):
        make_demo_dataset(folder, replace(HARDER, light=1.0, low_quality=0.0, long_tail=1.0, wrong_labels=0.0))


@pytest.mark.parametrize("option", ["--identities=1", "--sheet=nowhere/sheet.png"])
def test_the_tool_refuses_in_one_sentence(tmp_path, option):
    command = [sys.executable, str(TOOL), "--out", str(tmp_path / "demo"), option]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stdout == "" and "Traceback" not in run.stderr
    assert run.stderr.count("\n") == 1 and option[2:].split("=")[0] in run.stderr
    assert not list(tmp_path.iterdir())


def test_the_tool_runs_from_anywhere_and_writes_a_sheet(tmp_path):
    options = ["--out=demo", "--identities=2", "--images=1", "--pairs=40", "--workers=1", "--sheet=sheet.png"]
    run = subprocess.run([sys.executable, str(TOOL), *options], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert set(contents(tmp_path / "demo")) == FILES
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (8 * 112, 10 * 112, 3)


@pytest.mark.parametrize("size", [(96, 112), (160, 160)])
def test_pictures_of_another_size(tmp_path, size):
    from mxnet.recordio import MXIndexedRecordIO, unpack

    folder, text = tmp_path / "demo", f"{size[0]}x{size[1]}"
    options = ["--out", str(folder), "--identities", "2", "--images", "1", "--pairs", "40", "--workers", "1"]
    main([*options, "--image_size", text])
    assert (folder / "property").read_text() == f"2,{size[0]},{size[1]}\n"
    record = MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "r")
    for key in (1, 2):
        jpeg = unpack(record.read_idx(key))[1]
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED).shape == (*size, 3)
    assert BinSet.load(folder / "demo.bin").image_size == size
    before = contents(folder)
    main([*options, "--image_size", text])
    assert contents(folder) == before
    with pytest.raises(UserError, match=f"image_size {text} .not stated."):
        main(options)
