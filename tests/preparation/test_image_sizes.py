"""Sets of images that are not 112x112: made of every kind of source, edited, inspected and written back."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.manifest import MANIFEST_NAME, Manifest
from data.ofrecord import index_path
from preparation.convert.index_parts import index_parts
from preparation.convert.to_images import write_images
from preparation.convert.to_ofrecord import Settings, convert
from preparation.convert.to_recordio import write_recordio
from preparation.edit.jobs import Output, write_merged, write_subset
from preparation.edit.rules import Rules
from preparation.inspect.dataset import inspect_set
from tests.data.mxnet_sets import encode, jpegs, picture, read_with_mxnet, write_set
from tests.data.ofrecord_sets import contents, digests, make_set, read_records
from tools.index_ofrecord import main as index_main
from utils.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / "tools" / "prepare_dataset.py"
SIZES = [(96, 112), (128, 128), (224, 160)]
COUNT, LABELS = 10, [number // 2 for number in range(10)]


def recordio(folder: Path, size: tuple[int, int]) -> Path:
    return write_set(folder, jpegs(COUNT, size), list(map(float, LABELS)), 5, size=size)


def people(folder: Path, size: tuple[int, int]) -> Path:
    for number, image in enumerate(jpegs(COUNT, size)):
        path = folder / f"p{LABELS[number]}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image)
    return folder


def expected(size: tuple[int, int]) -> dict[int, list[str]]:
    return digests(list(zip(LABELS, jpegs(COUNT, size), strict=True)))


@pytest.mark.parametrize("size", SIZES)
def test_recordio_has_the_size_that_it_says(tmp_path, size):
    source = recordio(tmp_path / "rec", size)
    manifest = convert(Settings(source, tmp_path / "out", num_part=3, workers=2))
    assert manifest == Manifest.load(tmp_path / "out")
    assert (manifest.image_size, manifest.num_records, manifest.repaired, manifest.skipped) == (size, COUNT, 0, 0)
    assert digests(read_records(tmp_path / "out")) == expected(size)
    named = convert(Settings(source, tmp_path / "named", num_part=3, image_size=size))
    assert named == manifest


def test_recordio_is_not_made_to_have_another_size(tmp_path):
    source = recordio(tmp_path / "rec", (96, 112))
    with pytest.raises(UserError, match=r"rec says that it holds 96x112 images; leave out --image_size 128x128"):
        convert(Settings(source, tmp_path / "out", num_part=1, image_size=(128, 128)))
    assert not (tmp_path / "out").exists()


def test_images_of_another_size_are_left_out_and_others_repaired(tmp_path):
    size = (96, 128)
    images = [*jpegs(3, size), *jpegs(2, (128, 96)), *jpegs(1), encode(picture(9, size), ".png")]
    source = write_set(tmp_path / "rec", images, [0.0] * 7, 1, size=size)
    manifest = convert(Settings(source, tmp_path / "out", num_part=1, shuffle=False))
    assert (manifest.num_records, manifest.repaired, manifest.skipped) == (4, 1, 3)
    with open(tmp_path / "out/skipped.csv") as file:
        assert {row["key"]: row["reason"] for row in csv.DictReader(file)} == dict.fromkeys(
            "456", "the image is not 96x128 pixels"
        )
    repaired = read_records(tmp_path / "out")[-1][1]
    assert cv2.imdecode(np.frombuffer(repaired, np.uint8), cv2.IMREAD_COLOR).shape == (*size, 3)


def as_list(folder: Path) -> Path:
    names = sorted(path.relative_to(folder.parent) for path in folder.rglob("*.jpg"))
    path = folder.parent / "list.txt"
    path.write_text("".join(f"{name}\t{name.parent.name[1:]}\n" for name in names))
    return path


def as_archive(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "tar", folder))


@pytest.mark.parametrize(
    ("format", "make"), [("folder", lambda folder: folder), ("list", as_list), ("archive", as_archive)]
)
def test_image_files_have_the_size_that_is_stated(tmp_path, format, make):
    size = (128, 96)
    source = make(people(tmp_path / "people", size))
    manifest = convert(Settings(source, tmp_path / "out", num_part=2, workers=2, format=format, image_size=size))
    assert (manifest.image_size, manifest.num_records, manifest.skipped) == (size, COUNT, 0)
    assert digests(read_records(tmp_path / "out")) == expected(size)
    with pytest.raises(UserError, match=r"no usable image .*not 112x112 pixels; --image_size says another size"):
        convert(Settings(source, tmp_path / "other", num_part=2, format=format))


def test_the_option(tmp_path):
    people(tmp_path / "people", (96, 128))

    def run(*more):
        command = [sys.executable, TOOL, "people", "--out", "out", "--num_part", "2", "--workers", "1", *more]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    done = run("--image_size", "96,112")
    assert done.returncode == 2 and "write 128, or 96x112 for height x width" in done.stderr
    assert not (tmp_path / "out").exists()
    done = run("--image_size", "96x128")
    assert done.returncode == 0, done.stderr
    assert "Images are 96x128" in done.stdout
    assert Manifest.load(tmp_path / "out").image_size == (96, 128)


def test_a_manifest_of_before_means_112(tmp_path):
    folder = make_set(tmp_path / "of", jpegs(4), [0, 0, 1, 1], 2, 1)
    path = folder / MANIFEST_NAME
    stated = json.loads(path.read_text())
    assert stated.pop("image_size") == [112, 112]
    path.write_text(json.dumps(stated))
    assert Manifest.load(folder).image_size == (112, 112)
    manifest = convert(Settings(folder, tmp_path / "again", num_part=1, format="ofrecord"))
    assert manifest.image_size == (112, 112)


def test_a_set_is_its_own_source(tmp_path):
    folder = make_set(tmp_path / "of", jpegs(COUNT, (96, 112)), LABELS, 5, size=(96, 112))
    manifest = convert(Settings(folder, tmp_path / "again", num_part=2, format="ofrecord"))
    assert manifest.image_size == (96, 112) and digests(read_records(tmp_path / "again")) == expected((96, 112))
    with pytest.raises(UserError, match="says that it holds 96x112 images"):
        convert(Settings(folder, tmp_path / "more", num_part=2, format="ofrecord", image_size=(112, 112)))


def test_back_to_recordio_and_to_images(tmp_path):
    size = (96, 128)
    source = recordio(tmp_path / "rec", size)
    convert(Settings(source, tmp_path / "of", num_part=2))
    assert write_recordio(tmp_path / "of", tmp_path / "back", False) == (COUNT, 5)
    assert (tmp_path / "back/property").read_text() == "5,96,128\n"
    assert {read_with_mxnet(tmp_path / "back", key)[1] for key in range(1, COUNT + 1)} == set(jpegs(COUNT, size))
    write_images(source, tmp_path / "images", False)
    manifest = convert(Settings(tmp_path / "images", tmp_path / "again", num_part=2, format="list", image_size=size))
    assert manifest.skipped == 0 and digests(read_records(tmp_path / "again")) == expected(size)


@pytest.mark.parametrize("kind", ["property", "option", "neither", "both", "dataset.json"])
def test_parts_of_other_tools(tmp_path, kind):
    folder = make_set(tmp_path / "of", jpegs(COUNT, (96, 112)), LABELS, 5, 2, size=(96, 112))
    for part in folder.glob("part-?????"):
        index_path(part).unlink()
    if kind != "dataset.json":
        (folder / MANIFEST_NAME).unlink()
    if kind in ("option", "neither"):
        (folder / "property").unlink()
    if kind == "neither":
        with pytest.raises(UserError, match="is not 112x112 pixels; the native reader needs 112x112 color JPEGs"):
            index_parts(folder, None, 1)
        return
    if kind == "both":
        with pytest.raises(UserError, match=r"of says that it holds 96x112 images; leave out --image_size 112x112"):
            index_parts(folder, None, 1, (112, 112))
    index_main([str(folder), "--workers", "1", *(["--image_size", "96x112"] if kind == "option" else [])])
    manifest = Manifest.load(folder)
    manifest.check(folder)
    assert (manifest.image_size, manifest.num_classes) == ((96, 112), 5)


def test_editing_keeps_the_size(tmp_path):
    size = (128, 96)
    source = make_set(tmp_path / "of", jpegs(COUNT, size), LABELS, 5, size=size)
    manifest = write_subset(source, Rules(num_identities=3), Output(tmp_path / "few"), None, None, False)
    assert (manifest.image_size, manifest.num_records) == (size, 6)
    assert (tmp_path / "few/property").read_text() == "3,128,96\n"
    merged = write_merged([source, tmp_path / "few"], Output(tmp_path / "merged"), False, 1)
    assert (merged.image_size, merged.num_records) == (size, 16)
    assert (tmp_path / "merged/property").read_text() == "8,128,96\n"


def test_sets_of_different_sizes_do_not_merge(tmp_path):
    large = make_set(tmp_path / "large", jpegs(4, (128, 128)), [0, 0, 1, 1], 2, 1, size=(128, 128))
    usual = make_set(tmp_path / "usual", jpegs(4), [0, 0, 1, 1], 2, 1)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"usual holds 112x112 images and .*large 128x128; the images of a set"):
        write_merged([large, usual], Output(tmp_path / "out"), False, 1)
    assert contents(tmp_path) == before


def test_inspecting(tmp_path):
    size = (96, 128)
    folder = make_set(tmp_path / "of", jpegs(COUNT, size), LABELS, 5, size=size)
    inspection = inspect_set(folder, tmp_path / "report", 1, verify=True, duplicates=True)
    assert (inspection.faults, inspection.groups, inspection.summary["image_size"]) == (0, 0, list(size))
    sheet = cv2.imread(str(tmp_path / "report/contact_sheet.png"))
    assert sheet.shape == (5 * 96, 150 + 2 * 128, 3)
    wanted = {image.tobytes() for image in map(_pixels, jpegs(COUNT, size))}
    assert {sheet[96 * r : 96 * r + 96, 150 + 128 * c :][:, :128].tobytes() for r in range(5) for c in (0, 1)} == wanted
    stated = json.loads((folder / MANIFEST_NAME).read_text())
    (folder / MANIFEST_NAME).write_text(json.dumps(stated | {"image_size": [112, 112]}))
    wrong = inspect_set(folder, tmp_path / "report", 1)
    assert wrong.faults == COUNT
    assert "the image is not 112x112 pixels" in (tmp_path / "report/faults.csv").read_text()


def _pixels(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
