"""Shards of a WebDataset give the images, labels and order that were packed, and say which sample is at fault.

The shards here are written by `tarfile` in the layout that the format documents, not by the `webdataset` package.
"""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from preparation.convert.to_ofrecord import Settings, convert
from preparation.sources.formats import find_format
from preparation.sources.shards import shard_paths
from preparation.sources.webdataset import WebDatasetReader
from tests.data.mxnet_sets import encode, jpegs, picture
from tests.preparation.sources.people import SORTED, add_member, as_folder, as_shards, faces, records
from utils.errors import UserError
from utils.reading.limits import Limits, use_limits

IMAGES = jpegs(4)


def prepare(source, output, **more):
    how = {"num_part": 2, "shuffle": False} | more
    how["format"] = how.get("format") or find_format(source)
    return convert(Settings(source, output, **how))


def pack(path, *members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            add_member(tar, name, content)
    return path


def test_gives_the_set_of_the_same_images_in_folders(tmp_path):
    shards = as_shards(tmp_path / "in", "txt", "{person}")
    prepare(as_folder(tmp_path / "people"), tmp_path / "straight", shuffle=True, workers=2)
    before = {path.name for path in tmp_path.rglob("*")}
    manifest = prepare(shards, tmp_path / "out", shuffle=True, workers=2)
    for name in ("part-00000", "part-00001", "classes.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert manifest.source["files"]["in"]["shards"] == 3
    unpacked = {path.name for path in tmp_path.rglob("*")} - before
    assert not [name for name in unpacked if name.endswith((".jpg", ".txt")) and name != "classes.txt"]


def test_order_labels_and_bytes_are_those_of_the_shards(tmp_path):
    expected = [(label, image) for image, label in zip(*faces(), strict=True)]
    shards = as_shards(tmp_path / "in")
    prepare(shards, tmp_path / "out")
    assert records(tmp_path / "out") == expected
    prepare(shards / "faces-{0002,0000}.tar", tmp_path / "some")
    assert records(tmp_path / "some") == expected[8:] + expected[:4]
    prepare(shards / "faces-0001.tar", tmp_path / "one")
    assert records(tmp_path / "one") == expected[4:8]


def test_keys_folders_and_other_members(tmp_path):
    """A key ends at the first dot of the file's name, wherever it lies; what is no image or label is passed over."""
    png = encode(picture(7), ".png")
    shard = pack(
        tmp_path / "f.tar",
        ("README", b"words"),
        (".hidden.jpg", b"x"),
        ("a.b/1.JPG", IMAGES[0]),
        ("a.b/1.cls", b" 3\n"),
        ("a.b/1.landmarks.npy", b"x"),
        ("a.b/1.seg.png", b"x"),
        ("./c/1.cls", b"0"),
        ("./c/1.png", png),
        ("c/2.jpeg", IMAGES[1]),
        ("c/2.cls", b"1"),
    )
    manifest = prepare(shard, tmp_path / "out")
    assert (manifest.num_classes, manifest.repaired) == (4, 1)
    assert [label for label, _ in records(tmp_path / "out")] == [3, 0, 1]


def test_the_label_can_be_chosen(tmp_path):
    members = [("1.jpg", IMAGES[0]), ("1.cls", b"5"), ("1.json", json.dumps({"identity": "zoë", "id": 7}).encode())]
    shard = pack(tmp_path / "f.tar", *members)
    with pytest.raises(UserError, match=r"f.tar: the key 1 has a .cls and a .json; say with --label which"):
        prepare(shard, tmp_path / "out", num_part=1)
    for label, expected in (("cls", 6), ("json:identity", 1), ("json:id", 8)):
        manifest = prepare(shard, tmp_path / label, num_part=1, label=label)
        assert manifest.num_classes == expected
    assert (tmp_path / "json:identity/classes.txt").read_text() == "zoë\n"


def one(label, extension="cls"):
    return [("1.jpg", IMAGES[0]), (f"1.{extension}", label)]


FAULTS = {
    "no label": ([("1.jpg", IMAGES[0]), ("2.jpg", IMAGES[1])], {}, "1 has no label .no .cls, .txt or"),
    "no label later": ([*one(b"1"), ("2.jpg", IMAGES[1]), ("2.txt", b"1")], {}, "key 2 has no label .no .cls lies"),
    "apart": ([("1.jpg", b"x"), ("2.jpg", b"x"), ("1.cls", b"1"), ("2.cls", b"1")], {}, "must follow each other"),
    "a word": (one(b"anna"), {}, "key 1 has a .cls that holds anna, not an integer"),
    "a fraction": (one(b"1.5"), {}, "holds 1.5, not an integer"),
    "nothing in it": (one(b""), {}, "holds nothing, not an integer"),
    "an empty name": (one(b"\n", "txt"), {}, "has a .txt that is empty"),
    "a caption": (one(b"a man\nwith a hat", "txt"), {}, "more than the name of a person"),
    "a number, then a name": (
        [*one(b"1", "txt"), ("2.jpg", b"x"), ("2.txt", b"bob")],
        {},
        "2 has the label bob, which is",
    ),
    "too high": (one(b"9" * 30), {}, "has a label beyond 2147483647"),
    "too high in JSON": (one(b'{"label": %s}' % (b"9" * 30), "json"), {}, "has a label beyond 2147483647"),
    "no field": (one(b'{"a": 1, "b": 2}', "json"), {}, r"without the field label \(it has a, b\); --label json:FIELD"),
    "a strange field": (one(b'{"label": true}', "json"), {}, "whose label is neither an integer nor a name"),
    "an empty field": (one(b'{"label": ""}', "json"), {}, "has a .json whose label is empty, or more than the name"),
    "no JSON": (one(b"{", "json"), {}, "key 1 has a damaged .json: it is not JSON"),
    "no image": ([*one(b"1"), ("2.cls", b"1")], {}, r"key 2 has no image \(only .cls;"),
    "a dot in names": (
        [*one(b"1"), ("j.doe.jpg", b"x"), ("j.doe.cls", b"1")],
        {},
        r"key j has no image \(only .doe.jpg,",
    ),
    "two images": ([*one(b"1"), ("1.png", b"x")], {}, r"key 1 has several images \(.jpg, .png\)"),
    "two labels": ([*one(b"1"), *one(b"1")[1:]], {}, r"key 1 comes twice \(two .cls\)"),
    "a key again": ([*one(b"1"), ("2.jpg", b"x"), ("2.cls", b"1"), *one(b"1")], {}, "1 comes twice, with other keys"),
    "too many": ([*one(b"1"), *((f"1.{n}", b"") for n in range(300))], {}, "key 1 has more than 256 members"),
    "a wrong choice": (one(b"1"), {"label": "cls:x"}, "--label cls:x is not possible"),
    "another choice": (one(b"1"), {"label": "txt"}, "key 1 has no label .no .txt"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_shard_and_key(tmp_path, name):
    members, how, expected = FAULTS[name]
    shard = pack(tmp_path / "f.tar", *members)
    with pytest.raises(UserError, match=expected) as said:
        prepare(shard, tmp_path / "out", num_part=1, format="webdataset", **how)
    assert "label" in how or f"{shard}: the key " in str(said.value)
    assert not (tmp_path / "out").exists()


def test_limits_hold_for_labels_and_images(tmp_path, monkeypatch):
    shard = pack(tmp_path / "f.tar", *one(b"0" * 100), ("2.jpg", IMAGES[1] + bytes(9000)), ("2.cls", b"1"))
    monkeypatch.setattr("utils.reading.limits._in_force", Limits())
    use_limits(Limits(line_bytes=99))
    with pytest.raises(UserError, match="key 1 has a label of 100 bytes, beyond --limit line_bytes"):
        prepare(shard, tmp_path / "out", num_part=1)
    use_limits(Limits(image_bytes=9000))
    assert prepare(shard, tmp_path / "out", num_part=1).skipped == 1
    assert 'f.tar/2.jpg,1,"the file cannot be read' in (tmp_path / "out/skipped.csv").read_text()


def test_which_archives_are_shards(tmp_path):
    def found(*names):
        return find_format(pack(tmp_path / "f.tar", *((name, b"1") for name in names)))

    assert found("1.jpg", "1.cls") == found("x/1.jpg", "x/1.cls") == found("1.webp", "1.json") == "webdataset"
    assert found("1.txt", "1.jpg") == "webdataset"
    assert found("anna/1.jpg") == found("anna/1.jpg", "anna/1.txt") == found("anna/1.jpg", "anna/2.cls") == "archive"
    with pytest.raises(UserError, match="say with --format archive that the folders are people, or with --format webd"):
        found("anna/1.jpg", "anna/1.json")


def test_which_folders_hold_shards(tmp_path):
    folder = as_shards(tmp_path / "in")
    (folder / ".cache").mkdir()
    (folder / "README.md").touch()
    assert find_format(folder) == "webdataset"
    (folder / "anna").mkdir()
    (folder / "anna/1.jpg").write_bytes(IMAGES[0])
    with pytest.raises(UserError, match="holds archives, and folders such as anna; say with --format"):
        find_format(folder)
    assert prepare(folder, tmp_path / "out", format="webdataset").num_records == len(faces()[1])


def test_shards_of_gzip_are_refused_as_archives_are(tmp_path):
    folder = as_shards(tmp_path / "in")
    with tarfile.open(folder / "faces-0003.tar.gz", "w:gz") as tar:
        add_member(tar, "1.jpg", IMAGES[0])
    assert find_format(folder) == "webdataset"
    with pytest.raises(UserError, match=r"faces-0003.tar.gz is compressed as a whole \(gzip\)"):
        prepare(folder, tmp_path / "out")


def test_patterns_count_as_a_shell_does(tmp_path):
    for number in range(8, 12):
        (tmp_path / f"a-{number:02d}.tar").touch()
        (tmp_path / f"b-{number}.tar").touch()

    def names(pattern):
        return [path.name for path in shard_paths(tmp_path / pattern)]

    assert names("a-{08..11}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert names("{b,a}-{10..11}.tar") == ["b-10.tar", "b-11.tar", "a-10.tar", "a-11.tar"]
    assert names("b-{9..10}.tar") == ["b-9.tar", "b-10.tar"]
    for pattern, expected in (
        ("a-{08..12}.tar", r"a-12.tar, a shard of .*a-\{08..12\}.tar, is missing"),
        ("a-{11..08}.tar", "names no shard; a range counts up"),
        ("a-{0..99999999999}.tar", "names more than 100,000 shards"),
        ("a-{0..99999999999}-{9..0}.tar", r"\{9\.\.0\} names no shard; a range counts up"),
        ("a-{x}.tar", r"a-\{x\}.tar, a shard of"),
        ("a-7.tar", "is neither a file nor a folder"),
        ("x" * 300 + "-{0..1}.tar", "x-0.tar, a shard of"),
    ):
        with pytest.raises(UserError, match=expected):
            names(pattern)


def test_a_pattern_may_choose_between_relative_and_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shards = as_shards(tmp_path / "in")
    prepare(shards, tmp_path / "straight")
    prepare(Path(f"{{in,{shards}}}/faces-{{0000..0002}}.tar"), tmp_path / "out")
    assert records(tmp_path / "out") == 2 * records(tmp_path / "straight")


def test_a_shard_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    shard = pack(tmp_path / "f.tar", *one(b"1"))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("preparation.sources.samples.open", refuse, raising=False)
    with pytest.raises(UserError, match=r"f.tar cannot be read: Permission denied\.$"):
        prepare(shard, tmp_path / "out")


def test_shards_that_change_meanwhile(tmp_path, monkeypatch):
    folder = as_shards(tmp_path / "in")
    read = WebDatasetReader.read

    def change(self, entries):
        (folder / "faces-0001.tar").touch()
        return read(self, entries)

    monkeypatch.setattr(WebDatasetReader, "read", change)
    with pytest.raises(UserError, match="changed during its conversion"):
        prepare(folder, tmp_path / "out")


def test_what_lies_with_the_shards_comes_along(tmp_path):
    folder = as_shards(tmp_path / "in")
    (folder / "lfw.bin").write_bytes(b"a verification set")
    (folder / "classes.txt").write_text("".join(name + "\n" for name in SORTED))
    prepare(folder, tmp_path / "out")
    for name in ("lfw.bin", "classes.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (folder / name).read_bytes()
    shutil.rmtree(tmp_path / "out")
    prepare(folder / "faces-0000.tar", tmp_path / "out")
    assert not (tmp_path / "out" / "lfw.bin").exists()


@pytest.mark.parametrize("force", [True, False])
def test_shards_that_are_called_as_parts_are_not_written_over(tmp_path, force):
    shards = as_shards(tmp_path / "in")
    for number, shard in enumerate(sorted(shards.glob("*.tar"))):
        shard.rename(shards / f"part-{number:05d}.tar")
    before = {path.name: path.read_bytes() for path in shards.iterdir()}
    with pytest.raises(UserError, match=r"cannot be written while .* is read; write elsewhere"):
        prepare(shards, shards, format="webdataset", force=force)
    assert {path.name: path.read_bytes() for path in shards.iterdir()} == before


def test_a_set_beside_its_shards_does_not_make_their_folder_one_of_people(tmp_path):
    shards = as_shards(tmp_path / "in")
    prepare(shards, shards / "ofrecord")
    assert find_format(shards) == "webdataset"
    (shards / "somebody").mkdir()
    (shards / "somebody/1.jpg").write_bytes(IMAGES[0])
    with pytest.raises(UserError, match="holds archives, and folders such as somebody"):
        find_format(shards)


def test_zeros_before_a_number_change_nothing(tmp_path):
    members = [
        (f"{n}.{kind}", content)
        for n in range(2)
        for kind, content in (("jpg", IMAGES[n]), ("cls", b"0" * 30 + b"%d" % n))
    ]
    prepare(pack(tmp_path / "a.tar", *members), tmp_path / "out", num_part=1)
    assert [label for label, _ in records(tmp_path / "out")] == [0, 1]
