import re
import struct
import sys

import cv2
import numpy as np
import pytest

from data.ofrecord import INDEX_DTYPE, PartWriter, file_crc32, frame_record, index_path, parse_record, scan_part
from tests.data.mxnet_sets import encode, jpegs, picture, with_comment
from tests.data.native_reader import read_natively
from tests.data.ofrecord_sets import record_pb2
from tools import index_ofrecord
from utils.cli import run_cli
from utils.errors import UserError

JPEGS = jpegs(5)


@pytest.fixture(scope="module")
def protobuf():
    return record_pb2()


def framed(message):
    return struct.pack("<q", len(message)) + message


def record(image=JPEGS[0], label=1):
    head, tail = frame_record(len(image), label)
    return head + image + tail


def field(number, content):
    """A length-delimited protobuf field of less than 128 bytes."""
    return bytes((number << 3 | 2, len(content))) + content


def label_feature(kind, values):
    """A label of the given field of `Feature` (3: doubles, 4: int32, 5: int64), its packed values as bytes."""
    return field(1, field(1, b"label") + field(2, field(kind, field(1, values))))


GOOD = record()
LABEL = label_feature(4, b"\x01")  # GOOD's
IMAGE = GOOD[8 : -len(LABEL)]


def write_part(folder, *records):
    path = folder / "part-00000"
    path.write_bytes(b"".join(records))
    return path


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16383, 16384, 3_000_000])
@pytest.mark.parametrize("label", [0, 1, 127, 128, 93430, 2**31 - 1])
def test_bytes_are_protobufs_own(protobuf, length, label):
    image = bytes(length)
    message = protobuf.OFRecord()
    message.feature["encoded"].bytes_list.value.append(image)
    message.feature["label"].int32_list.value.append(label)
    expected = message.SerializeToString(deterministic=True)
    assert record(image, label) == framed(expected)
    start, size, number = parse_record(expected, 0, len(expected))
    assert (expected[start : start + size], number) == (image, label)


def test_parses_what_other_tools_write(protobuf):
    message = protobuf.OFRecord()
    message.feature["encoded"].bytes_list.value.append(JPEGS[0])
    message.feature["label"].int64_list.value.append(7)
    message.feature["height"].float_list.value.append(112.0)
    data = message.SerializeToString()
    start, size, label = parse_record(b"--" + data, 2, 2 + len(data))
    assert (data[start - 2 : start - 2 + size], label) == (JPEGS[0], 7)


def test_parses_a_label_before_the_image_and_integers_that_are_not_packed():
    label = field(1, field(1, b"label") + field(2, field(4, b"\x08\xac\x02")))
    message = label + record()[8 : -len(LABEL)]
    start, size, number = parse_record(message, 0, len(message))
    assert (message[start : start + size], number) == (JPEGS[0], 300)


def test_the_sidecar_leads_to_each_image_and_is_what_a_scan_finds(tmp_path):
    path = tmp_path / "part-00000"
    with PartWriter(path) as writer:
        for label, image in enumerate(JPEGS):
            writer.add(image, label)
        writer.commit()
    data, index = path.read_bytes(), np.load(index_path(path), mmap_mode="r")
    assert index.dtype == INDEX_DTYPE
    assert [data[o : o + n] for o, n in zip(index["offset"], index["length"], strict=True)] == JPEGS
    assert index["label"].tolist() == [0, 1, 2, 3, 4]
    assert (scan_part(path, 5) == index).all()
    assert (writer.bytes, writer.crc32) == (len(data), file_crc32(path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["part-00000", "part-00000.index.npy"]


def test_a_part_that_is_not_committed_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), PartWriter(tmp_path / "part-00000") as writer:
        writer.add(JPEGS[0], 0)
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_scans_records_longer_than_a_block(tmp_path):
    long = JPEGS[1]
    for _ in range(80):
        long = with_comment(long, bytes(65000))  # 5 MB of comments
    path = write_part(tmp_path, record(JPEGS[0], 0), record(long, 1), record(JPEGS[2], 2))
    assert scan_part(path)["length"].tolist() == [len(JPEGS[0]), len(long), len(JPEGS[2])]


BAD_PARTS = {
    "empty part": ([], "part-00000 holds no record"),
    "bad length": ([GOOD, struct.pack("<q", -5) + GOOD[8:]], "Record 1 of .*part-00000 has a bad length"),
    "zero length": ([GOOD, bytes(8)], "Record 1 of .* has a bad length"),
    "huge length": ([GOOD, b"\xff" * 7 + b"\x7f"], "Record 1 of .* has a bad length"),
    "truncated": ([GOOD, GOOD[:-3]], "cut short: record 1"),
    "truncated in a length": ([GOOD, GOOD[:5]], "cut short: record 1"),
    "bad message": ([framed(b"\xff" * 40)], "Record 0 of .* is not an OFRecord message"),
    "another message": ([framed(b"\x0a\x03abc")], "Record 0 of .* is not an OFRecord message"),
    "no label": ([framed(IMAGE)], "Record 0 of .* has no feature 'label'"),
    "no image": ([framed(LABEL)], "Record 0 of .* has no feature 'encoded'"),
    "two images": ([framed(IMAGE + IMAGE + LABEL)], "Record 0 of .* has two features 'encoded'"),
    "label without an int": ([framed(IMAGE + label_feature(4, b""))], "Record 0 of .* holds 0 integers"),
    "two labels": ([framed(IMAGE + label_feature(4, b"\x01\x02"))], "Record 0 of .* holds 2 integers"),
    "label as a float": ([framed(IMAGE + label_feature(3, bytes(8)))], "Record 0 of .* holds 0 integers"),
    "label past the classes": ([GOOD, record(label=10)], "Record 1 of .* has the label 10"),
    "negative label": ([framed(IMAGE + label_feature(5, b"\xff" * 9 + b"\x01"))], "Record 0 of .* has the label -1"),
    "gray": ([GOOD, record(encode(picture(0)[..., 0]))], "Record 1 of .* a grayscale JPEG"),
    "PNG": ([record(encode(picture(0), ".png"))], "not a JPEG but another image format"),
    "BMP": ([record(encode(picture(0), ".bmp"))], "not a JPEG but another image format"),
    "WebP": ([record(encode(picture(0), ".webp"))], "not a JPEG but another image format"),
    "garbage": ([record(bytes(500))], "Record 0 of .* is broken"),
    "empty image": ([record(b"")], "is empty"),
    "JPEG cut in its body": ([record(JPEGS[0][:-500])], "is broken"),
    "wrong size": ([record(encode(picture(0, (96, 96))))], "not 112x112 pixels"),
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_what_the_native_reader_would_die_of_is_a_sentence(tmp_path, name):
    records, expected = BAD_PARTS[name]
    with pytest.raises(UserError, match=expected):
        scan_part(write_part(tmp_path, *records), num_classes=10)


@pytest.mark.parametrize("name", BAD_PARTS)
def test_the_index_tool_prints_that_sentence_and_exits_2(tmp_path, name, monkeypatch, capfd):
    records, expected = BAD_PARTS[name]
    write_part(tmp_path, *records)
    monkeypatch.setattr(sys, "argv", ["index_ofrecord.py", str(tmp_path), "--num_classes", "10", "--workers", "1"])
    with pytest.raises(SystemExit, match="2"):
        run_cli(index_ofrecord.main)
    sentence = capfd.readouterr().err.splitlines()[-1]
    assert re.search(expected, sentence)
    assert not (tmp_path / "dataset.json").exists()


def test_oneflows_reader_reads_every_kind_of_image_that_is_called_good(tmp_path, protobuf):
    images = [
        *JPEGS,
        encode(picture(8), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        encode(picture(9), ".jpg", cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
        with_comment(JPEGS[3], b"a face"),
        JPEGS[4] + b"\0\0",
    ]
    other = protobuf.OFRecord()
    other.feature["encoded"].bytes_list.value.append(JPEGS[2])
    other.feature["label"].int64_list.value.append(70000)
    records = [record(image, label) for label, image in enumerate(images)]
    path = write_part(tmp_path, *records, framed(other.SerializeToString()))
    scan_part(path)
    sums = [int(cv2.imdecode(np.frombuffer(image, np.uint8), 1).sum()) for image in [*images, JPEGS[2]]]
    expected = list(zip([*range(len(images)), 70000], sums, strict=True))
    assert read_natively(tmp_path, parts=1, records=len(expected)) == expected
