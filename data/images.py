"""Which stored images the native reader survives, told from their headers, and the repair of those it does not.

OneFlow's decoder ends the process on anything but a JPEG and gives silently wrong pixels for a grayscale one, so every
image is judged before it is stored. Judging must cost next to nothing: the usual JPEG (baseline, three components, one
scan) is recognised for a whole block of images at once with NumPy. libjpeg dies of headers, never of entropy-coded
data, so such an image is safe when its header is one that libjpeg has accepted before and no marker but the final EOI
follows it. Whatever is unusual is decoded.
"""

from __future__ import annotations

import os
import re
from enum import IntEnum
from typing import NamedTuple

import cv2
import numpy as np

IMAGE_SIZE = (112, 112)  # height, width of an aligned face
REPAIR_QUALITY = 95  # of re-encoded images; with 4:4:4 chroma, so that colours keep their full resolution

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_NATIVE_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive (Huffman coded): what every libjpeg reads
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # not a stuffed byte, not a restart
_MAX_SEGMENTS = 32  # marker segments walked before an image counts as unusual
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

    @property
    def reason(self) -> str:
        """The verdict in words, to follow "the image is"."""
        return _REASONS[self]


_REASONS = {
    Verdict.GOOD: "good",
    Verdict.GRAY: "a grayscale JPEG",
    Verdict.NOT_JPEG: "not a JPEG but another image format",
    Verdict.UNUSUAL_JPEG: "a JPEG of a kind the native reader does not decode (not 8-bit Huffman-coded colour)",
    Verdict.EMPTY: "empty",
    Verdict.BROKEN: "broken (no decoder reads it to its end)",
    Verdict.WRONG_SIZE: f"not {IMAGE_SIZE[0]}x{IMAGE_SIZE[1]} pixels",
}


class _Frame(NamedTuple):
    """What a JPEG's markers say of it."""

    kind: int  # the SOF marker's code
    precision: int
    components: int
    complete: bool  # markers run without a fault up to EOI


class ImageChecker:
    """Judges images; remembers the JPEG headers that decoded, so that their like need no decoding again."""

    def __init__(self) -> None:
        self._good_headers: set[bytes] = set()

    def check(self, block: bytes, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Judge the images at `block[starts[i] : starts[i] + lengths[i]]`.

        Args:
            block: bytes that hold all the images whole.
            starts, lengths: (N,) integers.

        Returns:
            (N,) uint8 of `Verdict` values. They do not depend on what was judged before.
        """
        verdicts = np.zeros(len(starts), np.uint8)
        bodies = _usual_jpegs(np.frombuffer(block, np.uint8), starts, lengths)
        for i, (start, length, body) in enumerate(zip(starts.tolist(), lengths.tolist(), bodies.tolist(), strict=True)):
            if body and block[start:body] in self._good_headers:
                continue
            verdict = judge(block[start : start + length])
            verdicts[i] = verdict
            if body and verdict is Verdict.GOOD:
                if len(self._good_headers) >= _KNOWN_HEADERS:
                    self._good_headers.clear()
                self._good_headers.add(block[start:body])
        return verdicts


def judge(image: bytes) -> Verdict:
    """Judge one image by decoding it."""
    if not image:
        return Verdict.EMPTY
    pixels, _ = _decode(image)
    if pixels is None:
        return Verdict.BROKEN
    if pixels.shape[:2] != IMAGE_SIZE:
        return Verdict.WRONG_SIZE
    if not image.startswith(bytes((0xFF, _SOI))):
        return Verdict.NOT_JPEG
    frame = _read_markers(image)
    if frame is None or not frame.complete:
        return Verdict.BROKEN
    if frame.components == 1:
        return Verdict.GRAY
    if frame.components != 3 or frame.precision != 8 or frame.kind not in _NATIVE_FRAMES:
        return Verdict.UNUSUAL_JPEG
    return Verdict.GOOD


def decodes_cleanly(image: bytes) -> bool:
    """Whether a decoder reads every pixel without a complaint (a JPEG cut in its body decodes, but not cleanly)."""
    pixels, complained = _decode(image)
    return pixels is not None and not complained


def repair(image: bytes) -> bytes:
    """The same picture as an RGB JPEG.

    Raises:
        ValueError: the image does not decode.
    """
    pixels, _ = _decode(image)
    if pixels is None:
        raise ValueError("the image does not decode")
    settings = [
        *(cv2.IMWRITE_JPEG_QUALITY, REPAIR_QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    return cv2.imencode(".jpg", pixels, settings)[1].tobytes()


def _decode(image: bytes) -> tuple[np.ndarray | None, bool]:
    """(H, W, 3) uint8 BGR pixels or None, and whether a decoder complained.

    libjpeg and libpng write their complaints straight to file descriptor 2 and there is no other way to learn of them.
    An orientation tag is ignored, as the native reader does.
    """
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


def _usual_jpegs(data: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(N,) int64: where the entropy-coded data of each usual JPEG of the right size begins, 0 for any other image.

    Usual: baseline or extended, 8 bits, three components in one scan, and the first marker in the scan is an EOI that
    ends the image. All images are walked together, one marker segment per turn.
    """
    starts, ends = starts.astype(np.int64), (starts + lengths).astype(np.int64)
    bodies = np.zeros(len(starts), np.int64)
    framed = np.zeros(len(starts), bool)
    alive = np.flatnonzero(lengths >= 4)
    alive = alive[(data[starts[alive]] == 0xFF) & (data[starts[alive] + 1] == _SOI)]
    at = starts + 2
    for _ in range(_MAX_SEGMENTS):
        alive = alive[at[alive] + 10 <= ends[alive]]  # room for the fields read below
        here = at[alive]
        marker = data[here + 1]
        after = here + 2 + _uint16(data, here + 2)
        sound = (data[here] == 0xFF) & (marker >= 0xC0) & (marker != _EOI) & (marker != 0xFF) & (after <= ends[alive])
        frame = (marker == 0xC0) | (marker == 0xC1)
        size_is_right = (
            (data[here + 4] == 8)
            & (_uint16(data, here + 5) == IMAGE_SIZE[0])
            & (_uint16(data, here + 7) == IMAGE_SIZE[1])
            & (data[here + 9] == 3)
        )
        framed[alive[frame & size_is_right]] = True
        scan = sound & (marker == _SOS)
        begun = scan & framed[alive] & (data[here + 4] == 3)
        bodies[alive[begun]] = after[begun]
        at[alive] = after
        alive = alive[sound & ~scan & (size_is_right | ~frame)]
        if not len(alive):
            break
    bodies[~_ends_at_first_marker(data, bodies, ends)] = 0
    return bodies


def _ends_at_first_marker(data: np.ndarray, bodies: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N,) bool: whether the first marker at or after `bodies[i]` is an EOI in the last two bytes before `ends[i]`."""
    even = len(data) // 8 * 8
    hits = np.flatnonzero((data[:even] == 0xFF).view(np.uint64))  # 8 bytes a look: 0xFF is rare
    candidates = np.concatenate([(hits[:, None] * 8 + np.arange(8)).ravel(), np.arange(even, len(data))])
    candidates = candidates[candidates + 1 < len(data)]
    candidates = candidates[data[candidates] == 0xFF]
    codes = data[candidates + 1]
    markers = candidates[(codes != 0) & ((codes < 0xD0) | (codes > 0xD7))]  # not stuffed bytes, not restarts
    if not len(markers):
        return np.zeros(len(bodies), bool)
    first = markers[np.minimum(np.searchsorted(markers, bodies), len(markers) - 1)]
    return (first == ends - 2) & (data[np.minimum(first + 1, len(data) - 1)] == _EOI)


def _uint16(data: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(N,) int64: the big-endian 16-bit integers at `at`."""
    return data[at].astype(np.int64) * 256 + data[at + 1]


def _read_markers(image: bytes) -> _Frame | None:
    """Walk the markers of one JPEG; None where there is no frame header before the first fault."""
    frame, scan_components, at = None, 0, 2
    while at + 4 <= len(image):
        if image[at] != 0xFF:
            break
        marker = image[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        segment = image[at + 4 : at + 2 + int.from_bytes(image[at + 2 : at + 4], "big")]
        if marker in _FRAMES and len(segment) >= 6:
            frame = _Frame(marker, segment[0], segment[5], False)
        at += 4 + len(segment)
        if marker != _SOS:
            continue
        scan_components += segment[0] if segment else 0
        found = _MARKER.search(image, at)  # skips the entropy-coded data
        at = found.start() if found else len(image)
        if frame and image[at + 1 : at + 2] == bytes((_EOI,)):
            return frame._replace(complete=True)
        if frame and frame.kind != 0xC2 and scan_components >= frame.components:
            break  # all components are there: only EOI may follow, anything else is damage inside the scan
    return frame
