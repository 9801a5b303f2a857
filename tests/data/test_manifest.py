import json
import time
from dataclasses import replace

import numpy as np
import pytest

from data.manifest import Manifest, Part
from data.ofrecord import INDEX_DTYPE, PartWriter, index_path, part_name
from tests.data.mxnet_sets import jpegs
from utils.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """A set of two parts, three and two records, five classes."""
    images, parts = jpegs(5), []
    for number, labels in enumerate([(0, 1, 2), (3, 4)]):
        with PartWriter(tmp_path / part_name(number)) as writer:
            for label in labels:
                writer.add(images[label], label)
            writer.commit()
        parts.append(Part(part_name(number), len(labels), writer.bytes, writer.crc32))
    Manifest(5, 5, parts, shuffle=True, seed=3, repaired=1, skipped=2, source={"format": "a test"}).save(tmp_path)
    return tmp_path


def rewrite(folder, **changes):
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_comes_back_as_it_was_saved(folder):
    manifest = Manifest.load(folder)
    before = (folder / "dataset.json").read_bytes()
    manifest.save(folder)
    assert (folder / "dataset.json").read_bytes() == before
    assert manifest == Manifest.load(folder)
    assert manifest.image_size == (112, 112)
    assert [part.records for part in manifest.parts] == [3, 2]
    assert "exactly once" in manifest.remainder


def test_a_digest_tells_sets_apart(folder):
    manifest = Manifest.load(folder)
    renamed = [replace(part, name=f"other-{part.name}") for part in manifest.parts]
    assert replace(manifest, parts=renamed, source={"from": "elsewhere"}).digest() == manifest.digest()
    others = [replace(manifest.parts[0], crc32=manifest.parts[0].crc32 ^ 1), *manifest.parts[1:]]
    assert replace(manifest, parts=others).digest() != manifest.digest()
    assert replace(manifest, parts=manifest.parts[::-1]).digest() != manifest.digest()


def test_a_whole_set_passes(folder):
    Manifest.load(folder).check(folder)
    Manifest.load(folder).check(folder, num_ranks=2, num_classes=5, num_image=5)


def test_missing(tmp_path):
    with pytest.raises(UserError, match=r"dataset.json is missing: make it with tools/prepare_dataset.py"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '"a"', "{}", '{"num_records": 5}', '{"parts": 3}', "\x80"])
def test_damaged(folder, text):
    (folder / "dataset.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"dataset.json is damaged"):
        Manifest.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_records": 6},
        {"num_records": "5"},
        {"num_classes": 0},
        {"num_classes": True},
        {"parts": []},
        {"parts": [{"name": "part-00000", "records": 5, "bytes": 0, "crc32": 0}]},
        {"parts": [{"name": "../part-00000", "records": 5, "bytes": 9, "crc32": 0}]},
        {"parts": [{"name": "part-00000"}]},
        {"parts": [{"name": "part-00000", "records": 1, "bytes": 9, "crc32": 0}] * 5},
        {"parts": [{"name": "part-00000", "records": 5, "bytes": 9, "crc32": "0"}]},
        {"parts": [{"name": "a\0b", "records": 5, "bytes": 9, "crc32": 0}]},
        {"num_classes": 10**12},
        {"num_classes": 10**9},
        {"image_size": [96]},
        {"image_size": [96, "112"]},
        {"image_size": [112, 8]},
        {"version": 2},
        {"unheard_of": 1},
    ],
)
def test_impossible_values(folder, changes):
    rewrite(folder, **changes)
    with pytest.raises(UserError, match=r"dataset.json is damaged"):
        Manifest.load(folder)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"num_ranks": 3}, r"has 2 part\(s\) but the run has 3 ranks; convert it again with --num_part 3 or more"),
        ({"num_classes": 6}, "num_classes = 6 but the dataset in .* has 5"),
        ({"num_image": 4}, "num_image = 4 but the dataset in .* has 5"),
    ],
)
def test_a_run_that_disagrees(folder, run, expected):
    with pytest.raises(UserError, match=expected):
        Manifest.load(folder).check(folder, **run)


def changed_index(folder, field, row, value):
    path = index_path(folder / "part-00001")
    index = np.load(path)
    index[field][row] = value
    np.save(path, index)


SPOILT = {
    "part missing": (lambda folder: (folder / "part-00001").unlink(), "part-00001 is missing"),
    "part truncated": (
        lambda folder: (folder / "part-00001").write_bytes((folder / "part-00001").read_bytes()[:-1]),
        r"part-00001 has (\d+) bytes but dataset.json says (\d+)",
    ),
    "part grown": (
        lambda folder: (folder / "part-00001").write_bytes((folder / "part-00001").read_bytes() + b"x"),
        r"part-00001 has (\d+) bytes but dataset.json says (\d+)",
    ),
    "index missing": (lambda folder: index_path(folder / "part-00001").unlink(), "part-00001.index.npy is missing"),
    "index damaged": (
        lambda folder: index_path(folder / "part-00001").write_bytes(b"not an array"),
        "part-00001.index.npy is damaged",
    ),
    "index empty": (lambda folder: index_path(folder / "part-00001").write_bytes(b""), "index.npy is damaged"),
    "index of another part": (
        lambda folder: index_path(folder / "part-00000").replace(index_path(folder / "part-00001")),
        "(part-00000.index.npy is missing|lists 3 records but dataset.json says 2)",
    ),
    "index of another dtype": (
        lambda folder: np.save(index_path(folder / "part-00001"), np.zeros(2)),
        "is not an index of records",
    ),
    "index of another shape": (
        lambda folder: np.save(index_path(folder / "part-00001"), np.zeros((2, 1), INDEX_DTYPE)),
        "is not an index of records",
    ),
    "index of another length": (
        lambda folder: np.save(index_path(folder / "part-00001"), np.zeros(1, INDEX_DTYPE)),
        "lists 1 records but dataset.json says 2",
    ),
    "offset past the part": (lambda folder: changed_index(folder, "offset", 1, 10**6), "does not fit part-00001"),
    "offset before the part": (lambda folder: changed_index(folder, "offset", 0, -1), "does not fit part-00001"),
    "images that overlap": (lambda folder: changed_index(folder, "offset", 1, 60), "does not fit part-00001"),
    "no length": (lambda folder: changed_index(folder, "length", 0, 0), "does not fit part-00001"),
    "label past the classes": (lambda folder: changed_index(folder, "label", 0, 5), r"label 5, but .* in \[0, 4\]"),
    "negative label": (lambda folder: changed_index(folder, "label", 1, -1), r"label -1, but .* in \[0, 4\]"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_files_that_a_training_would_fail_on(folder, name):
    spoil, expected = SPOILT[name]
    spoil(folder)
    with pytest.raises(UserError, match=expected):
        Manifest.load(folder).check(folder)


def test_checking_millions_of_records_takes_moments(tmp_path):
    records = 2_000_000
    index = np.zeros(records, INDEX_DTYPE)
    index["offset"] = np.arange(records, dtype=np.int64) * 100 + 60
    index["length"] = 30
    np.save(index_path(tmp_path / "part-00000"), index)
    with open(tmp_path / "part-00000", "wb") as file:
        file.truncate(records * 100)
    manifest = Manifest(records, 1, [Part("part-00000", records, records * 100, 0)])
    start = time.process_time()
    manifest.check(tmp_path)
    assert time.process_time() - start < 2
