"""Names and files of every kind: nothing is lost without being reported."""

import csv
import os

import pytest

from preparation.convert.to_ofrecord import Settings, _Conversion, convert
from preparation.sources.source import FAULTY_KINDS, UNREADABLE
from tests.data.mxnet_sets import encode, jpegs, picture
from tests.preparation.inline import InlineExecutor
from tests.preparation.sources.people import records
from utils.errors import UserError

IMAGES = jpegs(8)


def put(path, content=IMAGES[0]):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def prepare(source, tmp_path, format="folder", **more):
    return convert(Settings(source, tmp_path / "out", num_part=1, shuffle=False, format=format, **more))


def skipped(tmp_path):
    with open(tmp_path / "out" / "skipped.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        return {row["key"]: row["reason"] for row in csv.DictReader(file)}


STRANGE = [
    b"a b",
    b"a\nb",
    b"a\\nb",
    b"\\",
    b"tab\there",
    b"zo\xc3\xab",
    b"\xff not UTF-8",
    b"n" * 255,
    b"Anna",
    b"anna",
]


def test_names_of_every_kind(tmp_path):
    for number, name in enumerate(STRANGE):
        folder = os.path.join(os.fsencode(tmp_path / "in"), name)
        os.makedirs(folder)
        with open(os.path.join(folder, name[:251] + b".jpg"), "wb") as file:
            file.write(jpegs(len(STRANGE))[number])
    manifest = prepare(tmp_path / "in", tmp_path, workers=2)
    assert (manifest.num_records, manifest.num_classes) == (len(STRANGE), len(STRANGE))
    ordered = sorted(range(len(STRANGE)), key=lambda number: STRANGE[number])
    assert records(tmp_path / "out") == [(i, jpegs(len(STRANGE))[number]) for i, number in enumerate(ordered)]
    lines = (tmp_path / "out" / "classes.txt").read_bytes().splitlines()
    unescaped = {rb"\\": b"\\", rb"\n": b"\n", rb"\r": b"\r"}
    for line, number in zip(lines, ordered, strict=True):
        name, at = b"", 0
        while at < len(line):
            piece = line[at : at + 2] if line[at : at + 1] == b"\\" else line[at : at + 1]
            name, at = name + unescaped.get(piece, piece), at + len(piece)
        assert name == STRANGE[number]


def test_what_cannot_be_used_is_listed(tmp_path):
    person = tmp_path / "in" / "anna"
    put(person / "good.jpg")
    put(person / "no image.txt", b"notes")
    put(person / "zero.jpg", b"")
    put(person / "line\nbreak.jpg", b"")
    put(person / "small.png", encode(picture(1, (90, 90)), ".png"))
    put(person / "fine.png", encode(picture(2), ".png"))
    (person / "loop.jpg").symlink_to("loop.jpg")
    (person / "broken.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(person / "pipe.jpg")
    (person / "linked.jpg").symlink_to(person / "good.jpg")
    put(tmp_path / "in" / "bob" / "zero.jpg", b"")
    put(person / ".hidden", b"not counted")
    manifest = prepare(tmp_path / "in", tmp_path)
    unreadable = FAULTY_KINDS[UNREADABLE]
    assert skipped(tmp_path) == {
        "anna/broken.jpg": unreadable,
        "anna/line\nbreak.jpg": "the image is empty",
        "anna/loop.jpg": unreadable,
        "anna/no image.txt": "the image is broken (no decoder reads it to its end)",
        "anna/pipe.jpg": unreadable,
        "anna/small.png": "the image is not 112x112 pixels",
        "anna/zero.jpg": "the image is empty",
        "bob/zero.jpg": "the image is empty",
    }
    assert (manifest.num_records, manifest.num_classes, manifest.repaired, manifest.skipped) == (3, 2, 1, 8)
    with pytest.raises(UserError, match=r"1 image\(s\) to repair and 8 to skip \(record anna/broken.jpg: the file"):
        prepare(tmp_path / "in", tmp_path, strict=True, force=True)


def loop(source):
    (source / "anna" / "again").symlink_to(source)


FOLDERS = {
    "a folder inside": (lambda s: put(s / "anna" / "2019" / "1.jpg"), "2019 is a folder inside a person's folder"),
    "a loop inside": (loop, "again is a folder inside a person's folder"),
    "a loop": (lambda s: (s / "bob").symlink_to("bob"), "bob is a broken link"),
    "a broken link": (lambda s: (s / "bob").symlink_to("nobody"), "bob is a broken link"),
    "a loose image": (lambda s: put(s / "1.JPG"), "1.JPG lies beside the person folders"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_that_do_not_say_whose_an_image_is(tmp_path, name):
    spoil, expected = FOLDERS[name]
    put(tmp_path / "in" / "anna" / "1.jpg")
    spoil(tmp_path / "in")
    with pytest.raises(UserError, match=expected):
        prepare(tmp_path / "in", tmp_path)
    assert not (tmp_path / "out").exists()


def test_empty_folders_are_no_identities(tmp_path):
    put(tmp_path / "in" / "bob" / "1.jpg")
    (tmp_path / "in" / "anna").mkdir()
    assert prepare(tmp_path / "in", tmp_path).num_classes == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no image"):
        prepare(tmp_path / "empty", tmp_path, force=True)


def test_the_output_may_not_lie_in_the_folder(tmp_path):
    put(tmp_path / "bob" / "1.jpg")
    with pytest.raises(UserError, match=r"out cannot be written while .* is read; write elsewhere"):
        prepare(tmp_path, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_list_keeps_its_numbers_and_spaces(tmp_path):
    put(tmp_path / "two words.jpg")
    put(tmp_path / "é.jpg", IMAGES[1])
    (tmp_path / "list.txt").write_text("two words.jpg 0 5 0\né.jpg 0 2 0\nmissing.jpg 0 1 0\né.jpg 0 -1 0\n")
    manifest = prepare(tmp_path / "list.txt", tmp_path, "list")
    assert manifest.num_classes == 6
    assert records(tmp_path / "out") == [(5, IMAGES[0]), (2, IMAGES[1])]
    assert skipped(tmp_path) == {
        "missing.jpg": FAULTY_KINDS[UNREADABLE],
        "é.jpg": "the label is not an integer in [0, 5]",
    }


LISTS = {
    "": "holds no image",
    "a.jpg 0 1\n": "line 1: the list's lines must be 'name 0 identity 0' or",
    "a.jpg 0 1 1\n": "line 1: the list's lines must be",
    "a.jpg\t1\nb\nc.jpg\t2": "line 2: the list's lines must be 'name<tab>identity'",
    "a.jpg\t1\nb.jpg\tanna": "line 2: the identity must be a number, as in the first line",
    "a.jpg\t9999999999\n": "has an identity beyond 2147483647, where labels end",
    "a.jpg\t-99999999999999999999\n": "has an identity beyond 2147483647, where labels end",
    "nothing.jpg\t0\n": "has no usable image .record nothing.jpg: the file cannot be read",
    "a\0b.jpg\t0\n": "has no usable image",
    ".\t0\n": "has no usable image",
}


@pytest.mark.parametrize("text", LISTS)
def test_lists_that_cannot_be_used(tmp_path, text):
    put(tmp_path / "a.jpg")
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(UserError, match=LISTS[text]):
        prepare(tmp_path / "list.txt", tmp_path, "list")


@pytest.mark.parametrize("when", ["before it is written", "while it is written"])
def test_a_file_that_changes_meanwhile(tmp_path, monkeypatch, when):
    image = tmp_path / "in" / "anna" / "1.jpg"
    put(image)
    original = "_write_parts" if when.startswith("before") else "_finish"
    method = getattr(_Conversion, original)

    def change(self, *arguments):
        put(image, IMAGES[1] + b"more" if when.startswith("before") else IMAGES[2])
        return method(self, *arguments)

    monkeypatch.setattr(_Conversion, original, change)
    with pytest.raises(UserError, match="changed during its conversion"):
        prepare(tmp_path / "in", tmp_path)
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_a_file_that_only_some_workers_see(tmp_path):
    """A machine that has not mounted the folder."""
    image, elsewhere = tmp_path / "in" / "anna" / "1.jpg", tmp_path / "1.jpg"
    put(image)
    put(tmp_path / "in" / "anna" / "2.jpg")

    def unseen(run):
        image.rename(elsewhere)
        try:
            return run()
        finally:
            elsewhere.rename(image)

    with pytest.raises(UserError, match=r"anna/1\.jpg can be read here but not by every worker"):
        convert(Settings(tmp_path / "in", tmp_path / "out", num_part=1, format="folder"), InlineExecutor.pool(unseen))
    assert not list(tmp_path.glob("out/part-*"))
