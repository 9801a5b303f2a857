"""Archives give the set that the folder gives, and nothing of them is unpacked, whatever their members are called."""

import io
import os
import shutil
import subprocess
import tarfile
import zipfile

import pytest

from preparation.convert.to_ofrecord import Settings, convert
from preparation.sources.archive import ArchiveReader
from preparation.sources.formats import find_format
from tests.data.mxnet_sets import encode, jpegs, picture
from tests.preparation.sources.people import as_folder
from utils.errors import UserError

IMAGES = jpegs(6)


def by_gnu_tar(folder, archive):
    subprocess.run(["tar", "-cf", archive, "-C", folder.parent, folder.name], check=True)


def by_gnu_tar_without_a_leading_folder(folder, archive):
    subprocess.run(["tar", "--format=pax", "-cf", archive, "-C", folder, "."], check=True)


def deflated(folder, archive):
    shutil.make_archive(archive.with_suffix(""), "zip", folder.parent, folder.name)


def stored(folder, archive):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        for path in folder.rglob("*"):
            zipped.write(path, path.relative_to(folder))


PACKERS = [
    (by_gnu_tar, ".tar"),
    (by_gnu_tar_without_a_leading_folder, ".tar"),
    (deflated, ".zip"),
    (stored, ".zip"),
]


def prepare(source, output, **more):
    how = {"num_part": 2, "format": find_format(source)} | more
    return convert(Settings(source, output, **how))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "dataset.json"}


@pytest.mark.parametrize(("pack", "suffix"), PACKERS)
def test_an_archive_gives_the_set_of_its_folder(tmp_path, pack, suffix):
    people = as_folder(tmp_path / "people")
    (people / "anna" / "fine.png").write_bytes(encode(picture(7), ".png"))
    (people / "anna" / "zero.jpg").write_bytes(b"")
    (people / "carl").mkdir()  # without a file: nobody
    (people / "notes.txt").write_text("not an image")
    (people / ".hidden").mkdir()
    (people / ".hidden" / "1.jpg").write_bytes(IMAGES[0])
    prepare(people, tmp_path / "straight", workers=2)
    pack(people, tmp_path / f"faces{suffix}")
    shutil.rmtree(people)
    before = {path.name for path in tmp_path.iterdir()}
    manifest = prepare(tmp_path / f"faces{suffix}", tmp_path / "out", workers=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")
    assert (manifest.repaired, manifest.skipped, manifest.num_classes) == (1, 1, 4)
    assert {path.name for path in tmp_path.iterdir()} == before | {"out"}


STRANGE = [b"a b", b"a\nb", b"zo\xc3\xab", b"\xff not UTF-8", b"n" * 255, b"Anna", b"anna", b"a\\b"]


@pytest.mark.parametrize("pack", [by_gnu_tar, by_gnu_tar_without_a_leading_folder])
def test_names_of_every_kind(tmp_path, pack):
    for number, name in enumerate(STRANGE):
        person = tmp_path / "in" / os.fsdecode(name)
        person.mkdir(parents=True)
        (person / (os.fsdecode(name[:251]) + ".jpg")).write_bytes(IMAGES[number % 6])
        (person / (os.fsdecode(name[:251]) + ".txt")).write_bytes(b"")  # will be listed as skipped
    pack(tmp_path / "in", tmp_path / "faces.tar")
    prepare(tmp_path / "in", tmp_path / "straight")
    prepare(tmp_path / "faces.tar", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_names_of_a_zip_are_bytes(tmp_path):
    """As other programs write them: without saying in which encoding they are."""
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as zipped:
        for name, image in (("zoXX", IMAGES[0]), ("Y", IMAGES[1])):
            zipped.writestr(f"{name}/1.jpg", image)
    packed = (tmp_path / "faces.zip").read_bytes()
    (tmp_path / "faces.zip").write_bytes(
        packed.replace(b"XX/1.jpg", b"\xc3\xab/1.jpg").replace(b"Y/1.jpg", b"\xff/1.jpg")
    )
    prepare(tmp_path / "faces.zip", tmp_path / "out")
    assert (tmp_path / "out" / "classes.txt").read_bytes() == b"zo\xc3\xab\n\xff\n"


def test_links_in_a_tar_lead_to_members_alone(tmp_path):
    people, outside = tmp_path / "people", tmp_path / "outside.jpg"
    (people / "anna").mkdir(parents=True)
    (people / "bob").mkdir()
    outside.write_bytes(IMAGES[5])
    (people / "anna" / "1.jpg").write_bytes(IMAGES[0])
    os.link(people / "anna" / "1.jpg", people / "bob" / "hard.jpg")
    (people / "bob" / "near.jpg").symlink_to("../anna/1.jpg")
    (people / "bob" / "chain.jpg").symlink_to("near.jpg")
    prepare(people, tmp_path / "straight")
    (people / "bob" / "out.jpg").symlink_to("../../outside.jpg")
    (people / "bob" / "far.jpg").symlink_to(outside)
    (people / "bob" / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(people / "bob" / "pipe.jpg")
    by_gnu_tar(people, tmp_path / "faces.tar")
    manifest = prepare(tmp_path / "faces.tar", tmp_path / "out")
    files = contents(tmp_path / "out")
    skipped = files.pop("skipped.csv").decode()
    assert files == contents(tmp_path / "straight") and manifest.skipped == 4
    assert all(f'bob/{name}.jpg,1,"the file cannot be read' in skipped for name in ("out", "far", "loop", "pipe"))


def test_of_members_of_one_name_the_last_counts(tmp_path):
    with tarfile.open(tmp_path / "faces.tar", "w") as tar:
        for image in IMAGES[:3]:
            add(tar, "anna/1.jpg", image)
    prepare(tmp_path / "faces.tar", tmp_path / "out", num_part=1)
    assert IMAGES[2] in (tmp_path / "out/part-00000").read_bytes()
    assert (tmp_path / "out/part-00000").stat().st_size < len(IMAGES[2]) + 100


def add(tar, name, content=IMAGES[0], **more):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for key, value in more.items():
        setattr(member, key, value)
    tar.addfile(member, io.BytesIO(content))


def tar_of(*names, **more):
    def make(archive):
        with tarfile.open(archive, "w") as tar:
            for name in names:
                add(tar, name, **more)

    return make


def packed(mode):
    def make(archive):
        with tarfile.open(archive, mode) as tar:
            add(tar, "anna/1.jpg")

    return make


def spoilt(spoil):
    def make(archive):
        tar_of("anna/1.jpg", "bob/1.jpg", "carl/1.jpg")(archive)
        archive.write_bytes(spoil(archive.read_bytes()))

    return make


def encrypted(archive):
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("anna/1.jpg", IMAGES[0])
    data = archive.read_bytes()
    at = data.index(b"PK\1\2") + 8
    archive.write_bytes(data[:at] + b"\1" + data[at + 1 :])


def by_lzma(archive):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as zipped:
        zipped.writestr("anna/1.jpg", IMAGES[0])


SECOND = 512 + (len(IMAGES[0]) + 511) // 512 * 512  # where the second member's header is
FAULTS = {
    "gzip": ("f.tar.gz", packed("w:gz"), r"f.tar.gz is compressed as a whole \(gzip\)"),
    "bzip2": ("f.tbz2", packed("w:bz2"), r"compressed as a whole \(bzip2\)"),
    "xz under another name": ("f.tar", packed("w:xz"), r"compressed as a whole \(xz\)"),
    "a name that goes up": ("f.tar", tar_of("anna/1.jpg", "anna/../../etc/1.jpg"), "a name that leads out of it"),
    "an absolute name": ("f.tar", tar_of("/etc/anna/1.jpg"), "'/etc/anna/1.jpg', a name that leads out of it"),
    "a loose image": ("f.tar", tar_of("anna/1.jpg", "2.JPG"), "2.JPG in .*f.tar lies beside the person folders"),
    "a folder inside": ("f.tar", tar_of("a/1.jpg", "b/2019/1.jpg"), "is a folder inside a person's folder"),
    "a folder inside, all in one": (
        "f.tar",
        tar_of("all/a/1.jpg", "all/b/2019/1.jpg"),
        "all/b/2019/1.jpg in .* must lie directly in all/PERSON/",
    ),
    "a link as a person": (
        "f.tar",
        lambda archive: tar_of("bob", type=tarfile.SYMTYPE, linkname="../anna", content=b"")(archive),
        "bob in .* is a link beside the person folders",
    ),
    "nothing": ("f.tar", tar_of(), "f.tar holds no image"),
    "an empty file": ("f.tar", lambda archive: archive.touch(), "is no .tar or .zip, or it is damaged"),
    "no archive": ("f.zip", lambda archive: archive.write_text("words"), "is no .tar or .zip, or it is damaged"),
    "cut in an image": ("f.tar", spoilt(lambda data: data[: SECOND + 600]), "is no .tar or .zip, or it is damaged: "),
    "cut between two": ("f.tar", spoilt(lambda data: data[:SECOND]), "is cut short or damaged at byte"),
    "a damaged header": (
        "f.tar",
        spoilt(lambda data: data[:SECOND] + b"x" * 512 + data[SECOND + 512 :]),
        "is cut short or damaged at byte",
    ),
    "two in one": ("f.tar", spoilt(lambda data: data + data), "goes on after its end"),
    "encrypted": ("f.zip", encrypted, "holds anna/1.jpg encrypted, or compressed otherwise than by deflate"),
    "LZMA": ("f.zip", by_lzma, "holds anna/1.jpg encrypted, or compressed otherwise than by deflate"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_archives_that_cannot_be_used(tmp_path, name):
    called, make, expected = FAULTS[name]
    make(tmp_path / called)
    with pytest.raises(UserError, match=expected):
        prepare(tmp_path / called, tmp_path / "out", num_part=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [called]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_in_a_zip_is_listed(tmp_path, method):
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w", method) as zipped:
        zipped.writestr("anna/1.jpg", IMAGES[0])
        zipped.writestr("anna/2.jpg", IMAGES[1])
        place = zipped.getinfo("anna/2.jpg")
    data = bytearray(archive.read_bytes())
    data[place.header_offset + 300] ^= 0xFF
    archive.write_bytes(data)
    assert prepare(archive, tmp_path / "out", num_part=1).skipped == 1
    assert 'anna/2.jpg,0,"the file cannot be read' in (tmp_path / "out/skipped.csv").read_text()


def test_an_archive_that_changes_meanwhile(tmp_path, monkeypatch):
    tar_of("anna/1.jpg", "bob/1.jpg")(tmp_path / "f.tar")
    read = ArchiveReader.read

    def change(self, entries):
        (tmp_path / "f.tar").touch()
        return read(self, entries)

    monkeypatch.setattr(ArchiveReader, "read", change)
    with pytest.raises(UserError, match="changed during its conversion"):
        prepare(tmp_path / "f.tar", tmp_path / "out")
