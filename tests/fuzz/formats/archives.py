"""Archives of person folders, and folders of files."""

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

from preparation.sources.archive import ArchiveSource
from preparation.sources.folder import FolderSource
from tests.data.mxnet_sets import jpegs
from tests.fuzz.format import Format
from tests.fuzz.judge import digest


def read_source(kind: type, path: Path, folder: Path) -> str:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        source = kind(path, Path(scratch), (112, 112))
        entries = source.images(source.reader.judge(source.records(), verify=True))
        readable = entries[entries["kind"] == 0]
        return digest(source.fingerprint(), *source.reader.read(readable), *source.class_names)


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


def make_folder(folder: Path) -> None:
    for member, content in _members():
        (folder / "people" / member).parent.mkdir(parents=True, exist_ok=True)
        (folder / "people" / member).write_bytes(content)


def read_folder(folder: Path) -> str:
    return read_source(FolderSource, folder / "people", folder)


_READS = ("preparation.sources.archive", "preparation.sources.archive_members", "utils.reading.stream")
FORMATS = (
    Format("tar", _READS, make_tar, ("gnu.tar", "pax.tar"), read_tar),
    Format("zip", _READS, make_zip, ("faces.zip",), read_zip),
    Format("folder", ("preparation.sources.files",), make_folder, ("people/a/1.jpg", "people/c/ü.jpg"), read_folder),
)
