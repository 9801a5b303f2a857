"""What a .tar or .zip holds: each member's name and where its bytes lie, so that they are read in place."""

from __future__ import annotations

import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from utils.errors import UserError
from utils.reading.faults import broken_file
from utils.reading.limits import limits
from utils.reading.stream import BoundedStream

# How a member's bytes lie in the file: as they are; behind a zip's local header, as they are or deflated; or not at all
# (a link, a device, a sparse file).
PLAIN, STORED, DEFLATED, NOTHING = range(4)
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "RAR",
}
_LOCAL = struct.Struct("<4s22xHH")  # a zip's header before each member: magic, length of the name and of what follows
_UTF8, _ENCRYPTED = 0x800, 0x1  # a zip's flags
_AT_ONCE = 1 << 20
_MAX_LINK = 1 << 12  # bytes of a path, on Linux


class Extent(NamedTuple):
    """Where a member lies: how, its first byte (STORED, DEFLATED: its local header's), and bytes there and unpacked."""

    kind: int
    offset: int = 0
    stored: int = 0
    size: int = 0
    crc32: int = 0  # of a zip's


class Member(NamedTuple):
    """name: as it is in the archive, without a leading `./`; target: of a link, the name of what it leads to."""

    name: bytes
    extent: Extent
    target: bytes | None = None


def read_members(archive: Path) -> Iterator[Member]:
    """All members but folders, in the archive's order.

    Raises:
        UserError: it is damaged, compressed as a whole, encrypted, or holds a name that leads out of it.
    """
    if not archive.is_file():
        raise UserError(f"{archive} is no file.")
    with broken_file(archive, "is no .tar or .zip, or it is damaged"), open(archive, "rb") as file:
        start = file.read(6)
        packer = next((name for magic, name in _COMPRESSED.items() if start.startswith(magic)), None)
        if packer:
            raise UserError(
                f"{archive} is compressed as a whole ({packer}), so that no image in it can be read by itself; unpack "
                "it, or pack it again as .tar or .zip."
            )
        yield from _read_zip(archive, file) if start.startswith(b"PK") else _read_tar(archive, file)


def read_extent(file: int, extent: Extent) -> bytes | None:
    """A member's bytes from the archive that is open as `file`; None where they are damaged, or nothing is there."""
    kind, offset, stored, size, crc32 = extent
    if kind == NOTHING or max(stored, size) > limits().image_bytes:
        return None
    if not 0 <= offset < os.fstat(file).st_size or min(stored, size) < 0:
        return None
    if kind != PLAIN:
        local = os.pread(file, _LOCAL.size, offset)
        if len(local) < _LOCAL.size or not local.startswith(b"PK\3\4"):
            return None
        offset += _LOCAL.size + sum(_LOCAL.unpack(local)[1:])
    if offset + stored > os.fstat(file).st_size:
        return None
    content = os.pread(file, stored, offset)
    if kind == DEFLATED:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)  # and no more
        except zlib.error:
            return None
    whole = len(content) == size and (kind == PLAIN or zlib.crc32(content) == crc32)
    return content if whole else None


class _TarFile(tarfile.TarFile):
    members: list[tarfile.TarInfo]  # those that were read; it is in no type stub


def _read_tar(archive: Path, file: BinaryIO) -> Iterator[Member]:
    size, reached = os.fstat(file.fileno()).st_size, -1
    file.seek(0)
    bounded = BoundedStream(file)
    with _TarFile.open(fileobj=bounded, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            tar.members.clear()  # which it would keep for later
            if tar.offset <= reached or member.size < 0:
                raise ValueError(f"it leads back to byte {tar.offset}")
            if member.offset_data + member.size > size and member.isreg() and not member.issparse():
                raise ValueError(f"it is cut short at byte {size}")
            reached = tar.offset
            if member.isdir():
                continue
            name = _clean(archive, member.name.encode("utf-8", "surrogateescape"))
            plain = member.isreg() and not member.issparse()
            extent = Extent(PLAIN, member.offset_data, member.size, member.size) if plain else Extent(NOTHING)
            link = member.linkname.encode("utf-8", "surrogateescape")
            if member.issym():
                link = os.path.join(os.path.dirname(name), link)
            yield Member(name, extent, os.path.normpath(link) if member.issym() or member.islnk() else None)
        end = tar.offset
    # tarfile takes a damaged header for the end.
    file.seek(end)
    if len(block := file.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE or any(block):
        raise UserError(f"{archive} is cut short or damaged at byte {end}.")
    while block := file.read(_AT_ONCE):
        if block.count(0) < len(block):
            raise UserError(f"{archive} goes on after its end at byte {end}; give one archive a file.")


def _read_zip(archive: Path, file: BinaryIO) -> Iterator[Member]:
    with zipfile.ZipFile(BoundedStream(file, has_index=True)) as zipped:
        for member in zipped.infolist():
            name = member.orig_filename.encode("utf-8" if member.flag_bits & _UTF8 else "cp437")
            if name.endswith(b"/"):
                continue
            name = _clean(archive, name)
            kind = {zipfile.ZIP_STORED: STORED, zipfile.ZIP_DEFLATED: DEFLATED}.get(member.compress_type)
            if kind is None or member.flag_bits & _ENCRYPTED:
                raise UserError(
                    f"{archive} holds {os.fsdecode(name)} encrypted, or compressed otherwise than by deflate; pack it "
                    "again as .zip or .tar."
                )
            extent = Extent(kind, member.header_offset, member.compress_size, member.file_size, member.CRC)
            mode = stat.S_IFMT(member.external_attr >> 16)  # 0 where no Unix made it
            if mode == stat.S_IFLNK:
                # A link is the content of its member; what is too long to be one leads nowhere.
                short = max(extent.stored, extent.size) <= _MAX_LINK
                link = read_extent(file.fileno(), extent) if short else None
                target = os.path.normpath(os.path.join(os.path.dirname(name), link)) if link else None
                yield Member(name, Extent(NOTHING), target)
            else:
                yield Member(name, extent if mode in (0, stat.S_IFREG) else Extent(NOTHING))


def _clean(archive: Path, name: bytes) -> bytes:
    words = [word for word in name.split(b"/") if word not in (b"", b".")]
    if name.startswith(b"/") or b".." in words or not words:
        raise UserError(
            f"{archive} holds {os.fsdecode(name)!r}, a name that leads out of it; pack the folder by its own name."
        )
    return b"/".join(words)
