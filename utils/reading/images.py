"""How large an encoded image is, read from its header: decoders take the memory that it asks for, whatever its file.

JPEG, PNG, BMP and WebP are known, which are the formats that faces come in. The numbers are bounded by what the bytes
of a file can hold: at best a pixel of a PNG takes 1/8 bit unpacked, and deflate packs 1032 bytes into one.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import cv2
import numpy as np

from utils.reading.limits import limits

_ALWAYS = 1 << 22  # pixels that any file may claim; 12 MB
_SCANS = 20  # of a JPEG as large as is allowed; each takes as long as a whole image
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG, _SOI, _SCAN = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xda"
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers of a JPEG without a length
_MARKER = re.compile(rb"\xff+([^\xff\x00])", re.DOTALL)


class Size(NamedTuple):
    """Of an image, in pixels; passes: how often a decoder goes through all of them."""

    height: int
    width: int
    passes: int = 1


def image_size(encoded: bytes) -> Size | None:
    """What the header of an encoded image states; None if it is of no known format, or its header is damaged."""
    for beginning, read in _READERS.items():
        if encoded.startswith(beginning):
            try:
                return read(encoded)
            except (struct.error, IndexError):
                return None
    return None


def may_be_decoded(encoded: bytes, max_pixels: int | None = None) -> bool:
    """Whether decoding the image takes no more memory and time than a file of its length may ask for.

    max_pixels: that it may have here, and not more than the limits in force allow; None: just these. The same below.
    """
    size = image_size(encoded)
    if size is None or min(size[:2]) < 1:
        return False
    most = _allowed(max_pixels)
    believed = min(most, max(_ALWAYS, limits().pixels_per_byte * len(encoded)))
    return size.height * size.width <= believed and not takes_hours(encoded, most)


def takes_hours(encoded: bytes, max_pixels: int) -> bool:
    """Whether a JPEG has so many scans of so many pixels that decoding it would not end in time."""
    size = image_size(encoded)
    return size is not None and size.height * size.width * size.passes > _SCANS * max(max_pixels, _ALWAYS)


def decode(encoded: bytes | np.ndarray, flags: int, max_pixels: int | None = None) -> np.ndarray | None:
    """As `cv2.imdecode` of bytes, or (bytes,) uint8; None where it does not decode, or asks for too much memory."""
    if not may_be_decoded(bytes(encoded), max_pixels):
        return None
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:
        return None


def _allowed(max_pixels: int | None) -> int:
    most = limits().image_pixels
    return most if max_pixels is None else min(most, max_pixels)


def _png(data: bytes) -> Size | None:
    """Also walks the chunks: the decoder reserves the length of each before it reads it."""
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    at, kind = len(_PNG), b""
    while at + 8 <= len(data) and kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
    return Size(height, width) if at <= len(data) else None


def _jpeg(data: bytes) -> Size | None:
    at = 2
    while match := _MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker in _STANDALONE:
            continue
        length = struct.unpack_from(">H", data, at)[0]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return Size(height, width, max(1, data.count(_SCAN, at + length)))
        at += length
    return None


def _bmp(data: bytes) -> Size | None:
    header = struct.unpack_from("<I", data, 14)[0]
    if header == 12:
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return Size(abs(height), abs(width))


def _webp(data: bytes) -> Size | None:
    """The largest of the canvas and the frames in it; each may be stated alone."""
    if data[8:12] != b"WEBP":
        return None
    sizes, at = [], 12
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        body = data[at + 8 : at + 18]
        if kind == b"VP8X":
            sizes.append((_int24(body, 7) + 1, _int24(body, 4) + 1))
        elif kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", body, 6)
            sizes.append((height & 0x3FFF, width & 0x3FFF))
        elif kind == b"VP8L":
            bits = struct.unpack_from("<I", body, 1)[0]
            sizes.append(((bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1))
        at += 8 + length + (length & 1)
    return Size(max(height for height, _ in sizes), max(width for _, width in sizes)) if sizes else None


def _int24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


_READERS = {_PNG: _png, _SOI: _jpeg, b"BM": _bmp, b"RIFF": _webp}
