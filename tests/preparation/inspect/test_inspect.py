"""Inspections of sets that are whole, and of sets that were damaged on purpose."""

import csv
import json
import shutil

import cv2
import numpy as np
import pytest

from data.manifest import Manifest
from data.ofrecord import index_path
from preparation.edit.jobs import Output, write_subset
from preparation.edit.rules import Rules
from preparation.inspect.dataset import inspect_set
from tests.data.ofrecord_sets import contents, face, faces, make_set, read_records
from utils.errors import UserError

COUNTS = (5, 1, 0, 7, 3, 2, 4)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    images, labels = faces(COUNTS)
    return make_set(tmp_path_factory.mktemp("inspect") / "faces", images, labels, len(COUNTS))


@pytest.fixture
def copy(source, tmp_path):
    return shutil.copytree(source, tmp_path / "copy")


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def faults(folder, report, **how):
    """[(part, record, fault)] of an inspection."""
    inspection = inspect_set(folder, report, 1, **how)
    rows = [tuple(row.values()) for row in table(report / "faults.csv")] if inspection.faults else []
    assert len(rows) == inspection.faults == json.loads((report / "summary.json").read_text())["faults"]
    return rows


def entry(folder, part, record):
    """Where a record's JPEG lies, its length and its label."""
    return np.load(index_path(folder / part))[record].tolist()


def overwrite(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_whole_set(source, tmp_path):
    before = contents(source)
    inspection = inspect_set(source, tmp_path / "report", 2, verify=True, duplicates=True)
    assert contents(source) == before
    assert (inspection.faults, inspection.groups) == (0, 0)
    records = read_records(source)
    lengths, present = [len(image) for _, image in records], [count for count in COUNTS if count]
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert summary == inspection.summary
    assert summary["images"] == summary["usable_images"] == 22
    assert (summary["identities"], summary["identities_without_images"]) == (7, 1)
    for name, values in (("bytes_per_image", lengths), ("images_per_identity", present)):
        assert summary[name] == {
            "min": min(values),
            "median": float(np.median(values)),
            "mean": round(sum(values) / len(values), 2),
            "max": max(values),
        }
    assert (tmp_path / "report/identities_without_images.txt").read_text() == "2\n"
    assert inspection.files == sorted(path.name for path in (tmp_path / "report").iterdir())
    assert inspection.files == [
        "contact_sheet.png",
        "identities_without_images.txt",
        "images_per_identity.png",
        "summary.json",
    ]


def test_the_contact_sheet_shows_the_identities(source, tmp_path):
    inspect_set(source, tmp_path / "report", 1)
    sheet = cv2.imread(str(tmp_path / "report/contact_sheet.png"))
    assert sheet.shape == (6 * 112, 150 + 7 * 112, 3)
    of_label = {}
    for label, image in read_records(source):
        of_label.setdefault(label, []).append(cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR))
    for row, label in enumerate(sorted(of_label)):
        shown = sheet[112 * row : 112 * (row + 1), 150:]
        for column, pixels in enumerate(of_label[label]):
            assert (shown[:, 112 * column : 112 * (column + 1)] == pixels).all()
        assert (shown[:, 112 * len(of_label[label]) :] == 255).all()
    histogram = cv2.imread(str(tmp_path / "report/images_per_identity.png"))
    assert histogram.shape[0] > 400 and histogram.std() > 10


def test_a_damaged_record(copy, tmp_path):
    offset, length, _ = entry(copy, "part-00001", 3)
    overwrite(copy / "part-00001", offset, bytes(length))
    rows = faults(copy, tmp_path / "report", duplicates=True)
    assert rows == [
        ("part-00001", "", "the part's bytes are not those that were written: its CRC-32 differs from dataset.json's"),
        ("part-00001", "3", "the image is broken (no decoder reads it to its end)"),
    ]
    write_subset(copy, Rules(), Output(tmp_path / "mended"), tmp_path / "report/faults.csv", None, False)
    assert Manifest.load(tmp_path / "mended").num_records == 21
    assert faults(tmp_path / "mended", tmp_path / "again", verify=True) == []


def test_damage_inside_a_jpeg_takes_decoding_to_find(tmp_path):
    images, labels = faces((3, 3))
    scan = images[1].index(b"\xff\xda") + 14
    spoilt = images[1][:scan] + b"\xff\x00" * ((len(images[1]) - scan - 2) // 2) + b"\xff\xd9"
    folder = make_set(tmp_path / "faces", [images[0], spoilt, *images[2:]], labels, 2, parts=1)
    assert faults(folder, tmp_path / "report") == []
    ((part, record, fault),) = faults(folder, tmp_path / "report", verify=True)
    assert part == "part-00000" and "the image is broken" in fault
    assert read_records(folder)[int(record)][1] == spoilt


def test_a_wrong_label(copy, tmp_path):
    offset, length, _ = entry(copy, "part-00000", 2)
    data = (copy / "part-00000").read_bytes()
    at = data.index(b"label", offset + length) + len(b"label") + 6  # the varint of the label
    assert data[at] == entry(copy, "part-00000", 2)[2]
    overwrite(copy / "part-00000", at, b"\x07")
    rows = faults(copy, tmp_path / "report")
    assert rows[1:] == [("part-00000", "2", "the label is 7, but labels must lie in [0, 6]")]


def test_a_sidecar_of_other_records(copy, tmp_path):
    index = np.load(index_path(copy / "part-00002"))
    true = index[1].tolist()
    index["label"][1] = (true[2] + 1) % 7
    np.save(index_path(copy / "part-00002"), index)
    expected = f"the sidecar says offset, length, label {index[1].tolist()}, the record {true}"
    assert faults(copy, tmp_path / "report") == [("part-00002", "1", expected)]
    np.save(index_path(copy / "part-00002"), index[:-1])
    rows = faults(copy, tmp_path / "report")
    assert rows[0] == ("part-00002", "", f"the sidecar lists {len(index) - 1} records but dataset.json says 7")
    index_path(copy / "part-00002").write_bytes(b"x")
    index_path(copy / "part-00001").unlink()
    by_part = {row[0]: row[2] for row in faults(copy, tmp_path / "report")}
    assert (
        "is damaged: it is no .npy file; make it again" in by_part["part-00002"]
        and "is missing" in by_part["part-00001"]
    )


def test_parts_cut_lengthened_missing_and_strange(copy, tmp_path):
    size = (copy / "part-00000").stat().st_size
    (copy / "part-00000").write_bytes((copy / "part-00000").read_bytes()[:-5])
    (copy / "part-00001").unlink()
    (copy / "part-00003").write_bytes(b"")
    (copy / "part-00002.tmp").write_bytes(b"")
    (copy / "_converting").mkdir()
    rows = faults(copy, tmp_path / "report", duplicates=True)
    assert ("part-00003", "", "not listed in dataset.json") in rows
    assert sum("did not finish" in row[2] for row in rows) == 2
    assert ("part-00001", "", "the part cannot be read: No such file or directory") in rows
    of_first = [row[1:] for row in rows if row[0] == "part-00000"]
    assert of_first[0] == ("", f"the part has {size - 5} bytes but dataset.json says {size}")
    assert of_first[1][0] == "7" and "what follows in the part is lost" in of_first[1][1]
    assert of_first[2] == ("", "the part holds 7 whole records but dataset.json says 8")
    assert json.loads((tmp_path / "report/summary.json").read_text())["usable_images"] == 14


def test_duplicates_across_identities(tmp_path):
    images, labels = faces((4, 4, 4, 4))
    again = cv2.imdecode(np.frombuffer(images[5], np.uint8), cv2.IMREAD_COLOR)
    again = cv2.imencode(".jpg", again, (cv2.IMWRITE_JPEG_QUALITY, 60))[1].tobytes()
    planted = [(images[0], 3), (images[0], 2), (again, 3), (images[9], 2)]  # the last is under its own identity
    images, labels = images + [image for image, _ in planted], labels + [label for _, label in planted]
    folder = make_set(tmp_path / "faces", images, labels, 4)
    inspection = inspect_set(folder, tmp_path / "report", 2, duplicates=True)
    rows = table(tmp_path / "report/duplicates.csv")
    assert inspection.groups == 2 and inspection.faults == 0
    assert inspection.summary["duplicates_across_identities"] == {"groups": 2, "images": 5, "within_bits": 4}
    records, names = read_records(folder), [part.name for part in Manifest.load(folder).parts]
    starts = np.cumsum([0, *(part.records for part in Manifest.load(folder).parts)])
    groups = {}
    for row in rows:
        label, image = records[starts[names.index(row["part"])] + int(row["record"])]
        assert label == int(row["label"])
        groups.setdefault(row["group"], []).append((label, image, row["kind"], row["drop"]))
    exact, similar = sorted(groups.values(), key=len, reverse=True)
    assert {label for label, *_ in exact} == {0, 2, 3} and {image for _, image, *_ in exact} == {face(0, 0)}
    assert {image for _, image, *_ in similar} == {face(1, 1), again}
    assert [row[2:] for row in exact] == [("exact", "0"), ("exact", "1"), ("exact", "1")]
    assert [row[2:] for row in similar] == [("exact", "0"), ("similar", "1")]
    assert cv2.imread(str(tmp_path / "report/duplicates.png")).shape == (224, 150 + 3 * 112, 3)

    write_subset(folder, Rules(), Output(tmp_path / "clean"), tmp_path / "report/duplicates.csv", None, False)
    assert len(read_records(tmp_path / "clean")) == 17
    clean = inspect_set(tmp_path / "clean", tmp_path / "report", 1, duplicates=True)
    assert clean.groups == 0 and not (tmp_path / "report/duplicates.csv").exists()


def test_where_there_is_nothing_to_inspect(source, tmp_path):
    with pytest.raises(UserError, match=r"dataset\.json is missing"):
        inspect_set(tmp_path, tmp_path / "report", 1)
    with pytest.raises(UserError, match="--workers must be at least 1"):
        inspect_set(source, tmp_path / "report", 0)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis").write_text("")
    with pytest.raises(UserError, match=r"but no summary.json, so it is not replaced"):
        inspect_set(source, tmp_path / "home", 1)
    assert not (tmp_path / "report").exists()
