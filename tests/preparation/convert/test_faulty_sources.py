"""Sources that cannot be converted are a sentence, before or while they are read."""

import struct

import numpy as np
import pytest

from data.images import Verdict
from preparation.convert.to_ofrecord import Settings, convert
from preparation.sources.recordio import RecordioSource
from preparation.sources.recordio_file import ENTRY_DTYPE, LABELS_ONLY
from tests.data.mxnet_sets import write_set
from tests.preparation.convert.faces import IMAGES
from utils.errors import UserError


def faulty_header(first, end):
    return lambda source: patch_header(source, struct.pack("<2f", first, end))


def patch_header(source, labels):
    data = bytearray((source / "train.rec").read_bytes())
    data[32:40] = labels
    (source / "train.rec").write_bytes(data)


FAULTS = {
    "num_part 0": ({"num_part": 0}, None, "--num_part must be at least 1, not 0"),
    "num_part negative": ({"num_part": -3}, None, "--num_part must be at least 1, not -3"),
    "workers 0": ({"workers": 0}, None, "--workers must be at least 1, not 0"),
    "more parts than records": ({"num_part": 27}, None, "--num_part 27 is more than the 26 record"),
    "more parts than images": ({"num_part": 24}, None, "--num_part 24 is more than the 23 record"),
    "no rec": ({}, lambda source: (source / "train.rec").unlink(), "train.rec cannot be read: No such file"),
    "no idx": ({}, lambda source: (source / "train.idx").unlink(), "train.idx cannot be read: No such file"),
    "no property": ({}, lambda source: (source / "property").unlink(), "property cannot be read: No such file"),
    "bad property": ({}, lambda source: (source / "property").write_text("ten"), "property must hold"),
    "other size": ({}, lambda source: (source / "property").write_text("10,8,112"), "says 10 classes of 8x112"),
    "too many classes": (
        {},
        lambda source: (source / "property").write_text("9999999999,112,112"),
        "at most 2147483648",
    ),
    "header too low": ({}, faulty_header(20, 26), "identities begin at key 20, but record 20 is not one"),
    "header too high": ({}, faulty_header(40, 42), "speaks of 39 images but its .idx lists 25"),
    "header fraction": ({}, faulty_header(2.5, 4), "header of .* is damaged"),
    "header NaN": ({}, faulty_header(float("nan"), 4), "header of .* is damaged"),
    "no usable image": (
        {},
        lambda source: write_set(source, [b"", b"x"], [0.0, 1.0]),
        "has no usable image .record 1: the image is empty",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_sentences(source, tmp_path, name):
    changes, spoil, expected = FAULTS[name]
    if spoil:
        spoil(source)
    with pytest.raises(UserError, match=expected):
        convert(Settings(source, tmp_path / "out", **({"num_part": 1} | changes)))
    assert not list(tmp_path.glob("out/part-*"))


def test_output_that_cannot_be_made(source, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/out failed: Not a directory"):
        convert(Settings(source, tmp_path / "file" / "out", num_part=1))


def test_a_disk_that_is_too_small_is_found_before_writing(source, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("data.storage.shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"needs [\d.]+ \w+ for the parts but its disk has [\d.]+ \w+ free"):
        convert(Settings(source, tmp_path / "out", num_part=1))


def test_keys_that_the_header_cannot_hold_are_found_in_the_records(tmp_path, monkeypatch):
    """2**11 + 3 records before the identities; float16 in float32's place says 2**11 + 4."""
    monkeypatch.setattr("preparation.sources.identities._FLOAT", np.float16)
    monkeypatch.setattr("preparation.sources.identities.EXACT", 1 << 11)
    images, identities = (1 << 11) + 2, 4
    entries = np.zeros(1 + images + identities, ENTRY_DTYPE)
    entries["key"] = np.arange(len(entries))
    entries["kind"][0] = entries["kind"][1 + images :] = LABELS_ONLY
    entries["verdict"][entries["kind"] == LABELS_ONLY] = Verdict.EMPTY
    entries["offset"][0] = 40
    source = write_set(tmp_path, IMAGES[:1], [0.0])
    patch_header(source, struct.pack("<2f", np.float16(images + 1), np.float16(images + 1 + identities)))
    assert np.float16(images + 1) != images + 1
    assert len(RecordioSource(source).images(entries)) == images

    entries["kind"][images - 8 :] = LABELS_ONLY  # as if the last images were identities
    with pytest.raises(UserError, match="says that the images end before key 2052, but they end before 2042"):
        RecordioSource(source).images(entries)
