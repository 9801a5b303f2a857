"""Archives of person folders, shards of a WebDataset, and folders of files."""

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

from preparation.sources.archive import ArchiveSource
from preparation.sources.folder import FolderSource
from preparation.sources.formats import find_format
from preparation.sources.webdataset import WebDatasetSource
from tests.data.mxnet_sets import jpegs
from tests.fuzz.format import Format
from tests.fuzz.judge import digest


def read_source(kind: type, path: Path, folder: Path) -> str:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        source = kind(path, Path(scratch), (112, 112))
        entries = source.images(source.reader.judge(source.records(), verify=True))
        readable = entries[entries["kind"] == 0]
        return digest(source.fingerprint(), *source.reader.read(readable), *(source.class_names or ()))


def _members() -> list[tuple[str, bytes]]:
    names = ["a/1.jpg", "a/2.jpg", "b/1.jpg", f"b/{'long' * 40}.jpg", "c/ü.jpg"]
    return list(zip(names, jpegs(len(names)), strict=True))


def make_tar(folder: Path) -> None:
    for name, form in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        with tarfile.open(folder / f"{name}.tar", "w", format=form) as tar:
            for member, content in _members():
                about = tarfile.TarInfo(member)
                about.size = len(content)
                tar.addfile(about, io.BytesIO(content))
            link = tarfile.TarInfo("c/link.jpg")
            link.type, link.linkname = tarfile.SYMTYPE, "../a/1.jpg"
            tar.addfile(link)


def make_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "faces.zip", "w") as archive:
        for number, (member, content) in enumerate(_members()):
            archive.writestr(member, content, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2])
        link = zipfile.ZipInfo("c/link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "../a/1.jpg")


def read_tar(folder: Path) -> str:
    return digest(*(read_source(ArchiveSource, path, folder) for path in sorted(folder.glob("*.tar"))))


def read_zip(folder: Path) -> str:
    return read_source(ArchiveSource, folder / "faces.zip", folder)


def make_shards(folder: Path) -> None:
    for kind, words in _LABELS.items():
        with tarfile.open(folder / f"{kind}.tar", "w") as tar:
            for number, (word, image) in enumerate(zip(words, jpegs(len(words)), strict=True)):
                for extension, content in (("jpg", image), (kind, word.encode())):
                    about = tarfile.TarInfo(f"{number:04d}.{extension}")
                    about.size = len(content)
                    tar.addfile(about, io.BytesIO(content))


def read_shards(folder: Path) -> str:
    read = []
    for kind in _LABELS:
        assert find_format(folder / f"{kind}.tar") in ("webdataset", "archive")
        read.append(read_source(WebDatasetSource, folder / f"{kind}.tar", folder))
    return digest(*read)


def make_folder(folder: Path) -> None:
    for member, content in _members():
        (folder / "people" / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / "people" / member).write_bytes(content)


def read_folder(folder: Path) -> str:
    return read_source(FolderSource, folder / "people", folder)


_LABELS = {
    "cls": ["0", "1", "1"],
    "txt": ["anna", "bob", "anna"],
    "json": ['{"label": 3}', '{"label": 4, "url": "x"}', '{"label": 0}'],
}
_SHARD_READERS = ("samples", "sample_labels", "webdataset")
_READS = ("preparation.sources.archive", "preparation.sources.archive_members", "utils.reading.stream")
FORMATS = (
    Format("tar", _READS, make_tar, ("gnu.tar", "pax.tar"), read_tar),
    Format("zip", _READS, make_zip, ("faces.zip",), read_zip),
    Format(
        "webdataset",
        tuple(f"preparation.sources.{name}" for name in _SHARD_READERS),
        make_shards,
        tuple(f"{kind}.tar" for kind in _LABELS),
        read_shards,
    ),
    Format("folder", ("preparation.sources.files",), make_folder, ("people/a/1.jpg", "people/c/ü.jpg"), read_folder),
)
