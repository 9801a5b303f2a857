"""Small files that ask for gigabytes."""

import io
import os
import struct
import tarfile
import zipfile
import zlib

import numpy as np

from tests.fuzz.attacks.attack import attack, folder_attack

_MEGABYTES = 800  # more than a reader may take for a moment


def _chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    stated = struct.pack(">I", len(content) if length is None else length)
    return stated + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + b"".join(chunks) + _chunk(b"IEND", b"")


@attack("images", "a.png")
def png_of_50_bytes_and_a_gigapixel(content):
    return _png(32_000, 32_000)[:50]


@attack("images", "a.png")
def png_of_a_gigapixel(content):
    return _png(32_000, 32_000, _chunk(b"IDAT", zlib.compress(bytes(1000))))


@attack("images", "a.png")
def png_of_a_thin_gigapixel(content):
    return _png(1_000_000, 1000, _chunk(b"IDAT", zlib.compress(bytes(1000))))


@attack("images", "a.png")
def png_with_a_chunk_of_gigabytes(content):
    return _png(112, 112, _chunk(b"IDAT", b"abc", 0x7FFFFFF0))


@attack("images", "a.png")
def png_with_a_profile_of_gigabytes(content):
    return _png(112, 112, _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(100_000_000))), _chunk(b"IDAT", b"abc"))


@attack("images", "a.jpg")
def jpeg_of_four_gigapixels(content):
    at = content.index(b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", 65_500, 65_500) + content[at + 9 :]


@attack("images", "progressive.jpg")
def jpeg_of_many_scans(content):
    at, scan = content.index(b"\xff\xc2"), content.index(b"\xff\xda")
    end = content.index(b"\xff", scan + 2)
    head = content[: at + 5] + struct.pack(">HH", 4000, 4000) + content[at + 9 : scan]
    return head + content[scan:end] * 3000 + b"\xff\xd9"


@attack("images", "a.bmp")
def bmp_of_a_gigapixel(content):
    return content[:18] + struct.pack("<ii", 32_000, 32_000) + content[26:]


@attack("images", "a.webp")
def webp_of_a_large_canvas(content):
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\x3f\xff\xff\x3f"
    return b"RIFF" + struct.pack("<I", len(content) + 10) + b"WEBP" + canvas + content[12:]


@folder_attack("folder", harmless=True)
def image_of_gigabytes_of_nothing(folder):
    os.truncate(folder / "people/a/1.jpg", 6 << 30)
    return "people/a/1.jpg"


def _pax(size: int, kind: bytes) -> bytes:
    about = tarfile.TarInfo("pax")
    about.type, about.size = kind, size
    return about.tobuf(tarfile.GNU_FORMAT)


@folder_attack("tar")
def tar_with_a_pax_header_of_gigabytes(folder):
    (folder / "pax.tar").write_bytes(_pax(6 << 30, tarfile.XHDTYPE))
    os.truncate(folder / "pax.tar", (6 << 30) + 2048)
    return "pax.tar"


@folder_attack("tar")
def tar_with_a_name_of_gigabytes(folder):
    (folder / "gnu.tar").write_bytes(_pax(6 << 30, tarfile.GNUTYPE_LONGNAME))
    os.truncate(folder / "gnu.tar", (6 << 30) + 2048)
    return "gnu.tar"


@attack("tar", "gnu.tar")
def tar_of_headers_on_headers(content):
    return _pax(0, tarfile.XHDTYPE) * 20_000 + content


@attack("tar", "gnu.tar")
def tar_that_leads_back(content):
    """A member of negative size: its successor is itself."""
    records = b"28 GNU.sparse.realsize=-512\n16 size=-1000000\n"
    records = b"17 size=-1000000\n" if len(b"17 size=-1000000\n") == 17 else records
    return _pax(len(records), tarfile.XHDTYPE) + records.ljust(512, b"\0") + content


@attack("tar", "gnu.tar")
def tar_with_a_member_of_exabytes(content):
    about = tarfile.TarInfo("a/x.jpg")
    about.size = 1 << 60
    return about.tobuf(tarfile.GNU_FORMAT) + content


@attack("zip", "faces.zip", harmless=True)
def zip_with_a_link_of_gigabytes(content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compresslevel=1) as archive:
        archive.writestr("a/1.jpg", b"x")
        link = zipfile.ZipInfo("a/link.jpg")
        link.external_attr, link.compress_type = 0o120777 << 16, zipfile.ZIP_DEFLATED
        with archive.open(link, "w", force_zip64=True) as file:
            for _ in range(_MEGABYTES):
                file.write(bytes(1 << 20))
    return out.getvalue()


@attack("zip", "faces.zip", harmless=True)
def zip_with_an_image_of_gigabytes(content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a/1.jpg", b"x")
        with archive.open("a/2.jpg", "w", force_zip64=True) as file:
            for _ in range(_MEGABYTES):
                file.write(bytes(1 << 20))
    return out.getvalue()


@attack("zip", "faces.zip")
def zip_whose_index_is_elsewhere(content):
    end = content.rindex(b"PK\5\6")
    return content[: end + 12] + struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0) + content[end + 20 :]


@attack("zip", "faces.zip")
def zip_of_a_version_to_come(content):
    at = content.index(b"PK\1\2")
    return content[: at + 6] + b"\xff\xff" + content[at + 8 :]


@attack("gallery", "g.npz")
def gallery_of_gigabytes(content):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("embeddings", "starts", "names", "names_ends", "sources", "sources_ends", "about"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                size = _MEGABYTES << 20 if name == "names" else 8
                file.write(_header("|u1", f"({size},)"))
                for _ in range(max(1, size >> 20)):
                    file.write(bytes(min(size, 1 << 20)))
    return out.getvalue()


def _header(kind: str, shape: str) -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


@attack("embeddings", "x.npy")
def array_larger_than_its_file(content):
    return _header("<f4", "(1000000000, 2, 4)") + bytes(64)


@attack("embeddings", "x.npy")
def array_of_an_impossible_shape(content):
    return _header("<f4", "(4611686018427387904, 4)") + bytes(64)


@attack("embeddings", "x.npy")
def array_of_objects(content):
    out = io.BytesIO()
    np.save(out, np.array([{}], object))
    return out.getvalue()


@attack("embeddings", "x.npy")
def array_whose_header_is_deep(content):
    text = b"(" * 60_000
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


@attack("embeddings", "x.npy")
def array_whose_header_is_a_long_sum(content):
    text = b"-" * 60_000 + b"1"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


@attack("embeddings", "x.npy")
def array_whose_header_does_not_end(content):
    text = b"{'descr': '<f4', 'shape': (1,"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


@attack("safetensors", "x.safetensors")
def tensors_with_a_header_of_exabytes(content):
    return struct.pack("<Q", 1 << 60) + b"{" + content


@attack("safetensors", "x.safetensors")
def tensors_with_a_deep_header(content):
    text = b'{"a":' * 100_000
    return struct.pack("<Q", len(text)) + text


@folder_attack("lists")
def list_of_gigabytes_without_a_line(folder):
    os.truncate(folder / "images.txt", 3 << 30)
    return "images.txt"
