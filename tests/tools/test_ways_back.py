"""From OFRecord back to recordio, and from recordio to images: the same bytes, and what mxnet and InsightFace read."""

import csv
import numbers
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from preparation.convert.to_images import write_images
from preparation.convert.to_ofrecord import Settings, convert
from preparation.convert.to_recordio import write_recordio
from tests.data.mxnet_sets import MAGIC_BYTES, encode, jpegs, picture, with_comment, write_set
from tests.preparation.sources.people import COUNTS, as_folder, digest, records
from utils.errors import UserError

TOOLS = Path(__file__).resolve().parents[2] / "tools"
IMAGES = [with_comment(image, MAGIC_BYTES * (i % 3)) for i, image in enumerate(jpegs(20))]
LABELS = [i // 4 if i < 12 else i // 4 + 1 for i in range(20)]  # nobody has the label 3


def run(tool, *arguments):
    return subprocess.run([sys.executable, TOOLS / tool, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture
def recordio(tmp_path):
    source = write_set(tmp_path / "recordio", IMAGES, list(map(float, LABELS)), 8)
    (source / "lfw.bin").write_bytes(b"a verification set")
    return source


@pytest.fixture
def ofrecord(recordio, tmp_path):
    convert(Settings(recordio, tmp_path / "ofrecord", num_part=3))
    return tmp_path / "ofrecord"


def read_as_insightface(folder):
    """[(label, image)] and {identity: range} by the rules of arcface_torch's MXFaceDataset and of face_image_iter."""
    import mxnet as mx

    file = mx.recordio.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "r")
    header, _ = mx.recordio.unpack(file.read_idx(0))
    assert header.flag > 0
    pairs, ranges = [], {}
    for key in range(1, int(header.label[0])):
        about, image = mx.recordio.unpack(file.read_idx(key))
        label = about.label if isinstance(about.label, numbers.Number) else about.label[0]
        pairs.append((int(label), image))
    for key in range(int(header.label[0]), int(header.label[1])):
        about, _ = mx.recordio.unpack(file.read_idx(key))
        ranges[key - int(header.label[0])] = (int(about.label[0]), int(about.label[1]))
    assert sorted(file.keys) == list(range(int(header.label[1])))
    file.close()
    return pairs, ranges


def test_recordio_to_ofrecord_to_recordio(recordio, ofrecord, tmp_path):
    done = run("ofrecord_2_recordio.py", ofrecord, "--out", tmp_path / "back")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"20 images of 8 identities in {tmp_path / 'back'}\n"
    pairs, ranges = read_as_insightface(tmp_path / "back")
    assert [label for label, _ in pairs] == LABELS
    assert digest(pairs) == digest(list(zip(LABELS, IMAGES, strict=True)))
    for identity in range(8):
        start, end = ranges[identity]
        assert {label for label, _ in pairs[start - 1 : end - 1]} <= {identity}
        assert end - start == LABELS.count(identity)
    assert (tmp_path / "back" / "property").read_text() == "8,112,112\n"
    assert (tmp_path / "back" / "lfw.bin").read_bytes() == b"a verification set"
    convert(Settings(tmp_path / "back", tmp_path / "again", num_part=3))
    assert digest(records(tmp_path / "again")) == digest(records(ofrecord))


def test_recordio_to_ofrecord_and_back_unshuffled_is_the_same_file(tmp_path):
    """As this program writes recordio: the images sorted by identity, and a record for each identity."""
    convert(Settings(as_folder(tmp_path / "people"), tmp_path / "a", num_part=2, format="folder", shuffle=False))
    assert run("ofrecord_2_recordio.py", tmp_path / "a", "--out", tmp_path / "first").returncode == 0
    convert(Settings(tmp_path / "first", tmp_path / "b", num_part=3, shuffle=False))
    assert run("ofrecord_2_recordio.py", tmp_path / "b", "--out", tmp_path / "second").returncode == 0
    for name in ("train.rec", "train.idx", "property", "classes.txt"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert read_as_insightface(tmp_path / "first")[1] == {0: (1, 4), 1: (4, 5), 2: (5, 9), 3: (9, 11)}
    assert sum(COUNTS) == 10


def test_recordio_to_images_to_ofrecord(recordio, ofrecord, tmp_path):
    done = run("mx_recordio_2_images.py", "--root_dir", recordio, "--output_dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"20 images of 5 identities in {tmp_path / 'out'}\n"
    names = [f"images/{key:08d}.jpg" for key in range(1, 21)]
    lines = [f"{name}\t{label}\n" for name, label in zip(names, LABELS, strict=True)]
    assert (tmp_path / "out" / "label.txt").read_text() == "".join(lines)
    assert [(tmp_path / "out" / name).read_bytes() for name in names] == IMAGES
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["images", "label.txt", "lfw.bin"]
    done = run("prepare_dataset.py", tmp_path / "out", "--out", tmp_path / "again", "--num_part", 3)
    assert done.returncode == 0, done.stderr
    assert digest(records(tmp_path / "again")) == digest(records(ofrecord))
    for part in ("part-00000", "part-00001", "part-00002"):
        assert (tmp_path / "again" / part).read_bytes() == (ofrecord / part).read_bytes()


def test_images_are_not_touched_whatever_they_are(tmp_path):
    images = [encode(picture(1), ".png"), b"", b"no image"]
    source = write_set(tmp_path / "in", images, [0.0, 1.0, 2.0], header=False)
    assert run("mx_recordio_2_images.py", "--root_dir", source, "--output_dir", tmp_path / "out").returncode == 0
    assert [(tmp_path / "out" / "images" / f"{key:08d}.jpg").read_bytes() for key in range(3)] == images


def test_outputs_are_whole_or_not_there(recordio, ofrecord, tmp_path):
    for tool, arguments in {
        "mx_recordio_2_images.py": ["--root_dir", recordio, "--output_dir", tmp_path / "out"],
        "ofrecord_2_recordio.py": [ofrecord, "--out", tmp_path / "out"],
    }.items():
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "mine").write_text("")
        for more in ([], ["--force"]):
            failed = run(tool, *arguments, *more)
            assert failed.returncode == 2 and "Traceback" not in failed.stderr
            assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
        (tmp_path / "out" / "mine").unlink()
        assert run(tool, *arguments).returncode == 0
        again = run(tool, *arguments)
        assert again.returncode == 2 and "--force replaces it" in again.stderr
        assert run(tool, *arguments, "--force").returncode == 0
        shutil.rmtree(tmp_path / "out")
    part = ofrecord / "part-00001"
    part.write_bytes(part.read_bytes()[:-100])
    failed = run("ofrecord_2_recordio.py", ofrecord, "--out", tmp_path / "out")
    assert failed.returncode == 2 and "part-00001 has" in failed.stderr
    assert not list(tmp_path.glob("*out*"))


def test_records_that_a_list_cannot_hold_are_listed_in_another(tmp_path):
    images, labels = [*IMAGES[:4], b"", IMAGES[4]], [0.0, 1.5, -1.0, float("nan"), 3.0, 2.0]
    source = write_set(tmp_path / "in", images, labels)
    at = int((source / "train.idx").read_text().splitlines()[5].split("\t")[1])
    rec = bytearray((source / "train.rec").read_bytes())
    rec[at + 8 : at + 12] = struct.pack("<I", 100)  # record 5 says that it has a hundred labels
    (source / "train.rec").write_bytes(rec)
    done = run("mx_recordio_2_images.py", "--root_dir", source, "--output_dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == f"4 skipped, listed in {tmp_path / 'out/skipped.csv'}"
    assert (tmp_path / "out/label.txt").read_text() == "images/00000001.jpg\t0\nimages/00000006.jpg\t2\n"
    kept = [path.read_bytes() for path in sorted((tmp_path / "out/images").iterdir())]
    assert kept == [IMAGES[0], IMAGES[4]]
    with open(tmp_path / "out/skipped.csv", newline="") as file:
        rows = {int(row["key"]): row["reason"] for row in csv.DictReader(file)}
    label = "the label is not an integer from 0 on"
    assert rows == {2: label, 3: label, 4: label, 5: "the record's header is cut short"}
    with pytest.raises(UserError, match="has no usable record"):
        write_images(write_set(tmp_path / "none", IMAGES[:1], [-1.0]), tmp_path / "nothing", False)
    assert not (tmp_path / "nothing").exists()


def test_more_identities_than_recordio_tells_apart(ofrecord, tmp_path, monkeypatch):
    monkeypatch.setattr("preparation.convert.to_recordio.EXACT", 7)
    with pytest.raises(UserError, match="has 8 identities, but labels are float32 in recordio, exact up to 7"):
        write_recordio(ofrecord, tmp_path / "out", False)
