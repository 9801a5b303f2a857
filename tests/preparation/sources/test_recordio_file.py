import numpy as np
import pytest

from preparation.sources.recordio_file import (
    DAMAGED,
    LABELS_ONLY,
    PLAIN,
    SPLIT,
    join_chunks,
    read_index,
    read_property,
    scan,
    unpack,
)
from tests.data.mxnet_sets import MAGIC_BYTES, jpegs, read_with_mxnet, with_comment, write_set
from utils.errors import UserError


def read_all(folder):
    """{key: (kind, label, image)} of a set."""
    rec = folder / "train.rec"
    by_key = {}
    for _, block, entries, split_images in scan(rec, read_index(folder / "train.idx", rec)):
        split = iter(split_images)
        for key, offset, length, label, kind, _ in entries.tolist():
            image = next(split) if kind == SPLIT else block[offset : offset + length]
            by_key[key] = (kind, label, image)
    return by_key


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("vector", [True, False])
def test_reads_what_mxnet_reads(tmp_path, header, vector):
    images = jpegs(6)
    images[1] = with_comment(images[1], MAGIC_BYTES)
    images[2] = with_comment(images[2], MAGIC_BYTES * 2 + b"between" * 4 + MAGIC_BYTES)
    labels = [[float(i), 0.5, 7.0] if vector else float(i) for i in range(6)]
    write_set(tmp_path, images, labels, header=header)
    by_key = read_all(tmp_path)
    assert len(by_key) == (9 if header else 6)
    assert sum(kind == SPLIT for kind, _, _ in by_key.values()) == 2
    for key, (kind, label, image) in by_key.items():
        expected_label, expected_image = read_with_mxnet(tmp_path, key)
        assert label == np.ravel(expected_label)[0]
        assert image == expected_image
        assert (kind == LABELS_ONLY) == (header and key in (0, 7, 8))


def test_keys_need_not_be_in_the_files_order(tmp_path):
    write_set(tmp_path, jpegs(3), [0.0, 1.0, 2.0], header=False)
    lines = (tmp_path / "train.idx").read_text().splitlines()
    (tmp_path / "train.idx").write_text("\n".join(lines[::-1]))
    assert sorted(read_all(tmp_path)) == [0, 1, 2]


def test_a_record_shorter_than_its_header_says_is_damaged(tmp_path):
    write_set(tmp_path, [b"", *jpegs(2)], [0.0, 1.0, 2.0], header=False)
    data = bytearray((tmp_path / "train.rec").read_bytes())
    data[8:12] = (9).to_bytes(4, "little")  # the first record's flag: nine labels
    (tmp_path / "train.rec").write_bytes(data)
    kinds = {key: kind for key, (kind, _, _) in read_all(tmp_path).items()}
    assert kinds == {0: DAMAGED, 1: PLAIN, 2: PLAIN}


@pytest.mark.parametrize("text", ["", "1,2", "a,112,112", "10;112;112", "0,112,112", "10,112,112,3"])
def test_property_malformed(tmp_path, text):
    (tmp_path / "property").write_text(text)
    with pytest.raises(UserError, match="property"):
        read_property(tmp_path / "property")


def test_property(tmp_path):
    (tmp_path / "property").write_text("85742,112,112\n")
    assert read_property(tmp_path / "property") == (85742, (112, 112))
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_property(tmp_path / "nothing")


def spoil(folder, how):
    rec, idx = folder / "train.rec", folder / "train.idx"
    data, lines = bytearray(rec.read_bytes()), idx.read_text().splitlines()
    if how == "truncated":
        data = data[:-10]
    elif how == "truncated by records":
        data = data[: int(lines[-2].split()[1])]
    elif how == "bad magic":
        data[int(lines[2].split()[1])] ^= 1
    elif how == "bad split magic":
        data[data.find(MAGIC_BYTES, int(lines[3].split()[1]) + 8)] ^= 1
    elif how == "empty rec":
        data = b""
    elif how == "longer rec":
        data += bytes(8)
    elif how == "empty idx":
        lines = []
    elif how == "words":
        lines[1] = "one\ttwo"
    elif how == "half a line":
        lines[-1] = lines[-1].split()[0]
    elif how == "a line missing":
        del lines[2]
    elif how == "a line twice":
        lines.append(lines[-1])
    elif how == "a key twice":
        lines[1] = lines[2].split()[0] + "\t" + lines[1].split()[1]
    elif how == "wrong offset":
        lines[2] = lines[2].split()[0] + "\t" + str(int(lines[2].split()[1]) + 4)
    rec.write_bytes(data)
    idx.write_text("".join(line + "\n" for line in lines))


SPOILT = {
    "truncated": "truncated",
    "truncated by records": "truncated, or they do not belong together",
    "bad magic": "bad magic",
    "bad split magic": "bad magic",
    "empty rec": "train.rec is empty",
    "longer rec": "does not hold the record",
    "empty idx": "train.idx is empty",
    "words": "train.idx is not an index",
    "half a line": "cut short",
    "a line missing": "do not belong together",
    "a line twice": "does not match",
    "a key twice": "does not match",
    "wrong offset": "do not belong together",
}


@pytest.mark.parametrize("how", SPOILT)
def test_files_that_do_not_fit(tmp_path, how):
    images = jpegs(4)
    images[3] = with_comment(images[3], MAGIC_BYTES)
    write_set(tmp_path, images, [0.0, 1.0, 2.0, 3.0], header=False)
    spoil(tmp_path, how)
    with pytest.raises(UserError, match=SPOILT[how]):
        read_all(tmp_path)


@pytest.mark.parametrize("name", ["train.rec", "train.idx"])
def test_missing_file(tmp_path, name):
    write_set(tmp_path, jpegs(1), [0.0])
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=f"{name} cannot be read: No such file"):
        read_all(tmp_path)


def test_damaged_chunks():
    good = MAGIC_BYTES + (5).to_bytes(4, "little") + b"12345\0\0\0"
    assert join_chunks(good) == b"12345"
    for bad in (b"", good[:6], good[:12], good + good, good[:7] + b"\x60" + good[8:]):
        with pytest.raises(ValueError, match="damaged chunks"):
            join_chunks(bad)
    with pytest.raises(ValueError, match="header is cut short"):
        unpack(b"short")
