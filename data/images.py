"""Which stored images the native reader survives, read from their headers, and the repair of those it does not.

OneFlow's decoder ends the process on anything but a JPEG and gives silently wrong pixels for a grayscale one, so every
image is judged before it is stored, and at next to no cost: libjpeg dies of headers, never of entropy-coded data, so
a JPEG is safe when its header (all before its one scan) has decoded before and no marker but the last EOI follows it.
Whatever is unusual, or seen for the first time, is decoded.
"""

from __future__ import annotations

import os
import re
from enum import IntEnum
from typing import NamedTuple

import cv2
import numpy as np

from data.protobuf import Bytes
from utils.pixels import USUAL_SIZE, size_words
from utils.reading.images import may_be_decoded

REPAIR_QUALITY = 95  # of re-encoded images; with 4:4:4 chroma, so that colors keep their full resolution

_SOI = b"\xff\xd8"
_EOI, _SOS = 0xD9, 0xDA
_PROGRESSIVE = 0xC2
_NATIVE_FRAMES = (0xC0, 0xC1, _PROGRESSIVE)  # Huffman coded (baseline, extended): what every libjpeg reads
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # not a stuffed byte, not a restart
_KNOWN_HEADERS = 4096  # headers remembered; bounds memory where every file carries its own Huffman tables


class Verdict(IntEnum):
    """What is to be done with an image: kept as it is (GOOD), repaired (below EMPTY), or left out."""

    GOOD = 0
    GRAY = 1
    NOT_JPEG = 2
    UNUSUAL_JPEG = 3
    EMPTY = 4
    BROKEN = 5
    WRONG_SIZE = 6

    @property
    def repairable(self) -> bool:
        """Whether re-encoding gives the same picture in a form that the native reader decodes."""
        return Verdict.GOOD < self < Verdict.EMPTY

    def reason(self, size: tuple[int, int]) -> str:
        """The verdict in words, to follow "the image is"; size: that it should have."""
        return _REASONS[self].format(size=size_words(size))


_REASONS = {
    Verdict.GOOD: "good",
    Verdict.GRAY: "a grayscale JPEG",
    Verdict.NOT_JPEG: "not a JPEG but another image format",
    Verdict.UNUSUAL_JPEG: "a JPEG of a kind the native reader does not decode (not 8-bit Huffman-coded color)",
    Verdict.EMPTY: "empty",
    Verdict.BROKEN: "broken (no decoder reads it to its end)",
    Verdict.WRONG_SIZE: "not {size} pixels",
}


class _Frame(NamedTuple):
    """What a JPEG's markers say of it."""

    kind: int  # the SOF marker's code
    precision: int
    components: int
    scan: int  # where the entropy-coded data begins, if there is one scan only; else 0
    complete: bool  # the markers run without a fault up to EOI


class ImageChecker:
    """Judges images; remembers the JPEG headers that decoded, so that their like need no decoding again.

    size: height and width in pixels that all of them should have.
    """

    def __init__(self, size: tuple[int, int] = USUAL_SIZE) -> None:
        self.size = size
        self._headers: dict[int, set[bytes]] = {}  # by length

    def check(self, data: Bytes, start: int, end: int) -> Verdict:
        """Judge the image `data[start:end]`; the verdict does not depend on what was judged before."""
        for length, headers in self._headers.items():
            if data[start : start + length] in headers and start + length < end:
                marker = _MARKER.search(data, start + length, end)
                if marker and marker.start() == end - 2 and data[end - 1] == _EOI:
                    return Verdict.GOOD
        image = data[start:end]
        verdict, frame = _judge(image, self.size)
        if verdict is Verdict.GOOD and frame and frame.scan:
            if sum(map(len, self._headers.values())) >= _KNOWN_HEADERS:
                self._headers.clear()
            self._headers.setdefault(frame.scan, set()).add(image[: frame.scan])
        return verdict


def decodes_cleanly(image: bytes) -> bool:
    """Whether a decoder reads every pixel without a complaint (a JPEG cut in its body decodes, but not cleanly)."""
    pixels, complained = _decode(image)
    return pixels is not None and not complained


def repair(image: bytes) -> bytes:
    """The same picture as an RGB JPEG of quality `REPAIR_QUALITY`, 4:4:4.

    Raises:
        ValueError: the image does not decode.
    """
    pixels, _ = _decode(image)
    if pixels is None:
        raise ValueError("the image does not decode")
    return encode_jpeg(pixels)


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """(H, W, 3) uint8 BGR as an RGB JPEG of quality `REPAIR_QUALITY`, 4:4:4."""
    settings = [
        *(cv2.IMWRITE_JPEG_QUALITY, REPAIR_QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    return cv2.imencode(".jpg", pixels, settings)[1].tobytes()


def _judge(image: bytes, size: tuple[int, int]) -> tuple[Verdict, _Frame | None]:
    """Judge one image by decoding it."""
    if not image:
        return Verdict.EMPTY, None
    pixels, _ = _decode(image)
    if pixels is None:
        return Verdict.BROKEN, None
    if pixels.shape[:2] != size:
        return Verdict.WRONG_SIZE, None
    if not image.startswith(_SOI):
        return Verdict.NOT_JPEG, None
    frame = _read_markers(image)
    if frame is None or not frame.complete:
        return Verdict.BROKEN, None
    if frame.components == 1:
        return Verdict.GRAY, frame
    if frame.components != 3 or frame.precision != 8 or frame.kind not in _NATIVE_FRAMES:
        return Verdict.UNUSUAL_JPEG, frame
    return Verdict.GOOD, frame


def _decode(image: bytes) -> tuple[np.ndarray | None, bool]:
    """(H, W, 3) uint8 BGR pixels or None, and whether a decoder complained.

    libjpeg and libpng write their complaints straight to file descriptor 2 and there is no other way to learn of them.
    An orientation tag is ignored, as the native reader does.
    """
    if not may_be_decoded(image):
        return None, True
    messages, stderr = os.memfd_create("decoder-messages"), os.dup(2)
    os.dup2(messages, 2)
    try:
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        pixels = None
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        complained = os.fstat(messages).st_size > 0
        os.close(messages)
    return pixels, complained


def _read_markers(image: bytes) -> _Frame | None:
    """Walk the markers of one JPEG; None where there is no frame header before the first fault."""
    frame, scanned, at = None, 0, 2
    while at + 4 <= len(image) and image[at] == 0xFF:
        marker = image[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        segment = image[at + 4 : at + 2 + int.from_bytes(image[at + 2 : at + 4], "big")]
        at += 4 + len(segment)
        if marker in _FRAMES and len(segment) >= 6:
            frame = _Frame(marker, precision=segment[0], components=segment[5], scan=0, complete=False)
        if marker != _SOS or not frame or not segment:
            continue
        one_scan = frame.kind != _PROGRESSIVE and segment[0] == frame.components
        scanned += segment[0]
        scan, match = at, _MARKER.search(image, at)
        at = match.start() if match else len(image)
        if image[at + 1 : at + 2] == bytes((_EOI,)):
            return frame._replace(scan=scan if one_scan else 0, complete=True)
        if frame.kind != _PROGRESSIVE and scanned >= frame.components:
            break  # every component is there: anything but EOI is damage inside the scan
    return frame
