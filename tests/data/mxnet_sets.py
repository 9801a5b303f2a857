"""Small sets of InsightFace's kind, written by real mxnet, in all the variants that the reader has to know."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

MAGIC_BYTES = struct.pack("<I", 0xCED7230A)  # splits the record that holds it at an offset divisible by 4


def picture(seed: int, size: tuple[int, int] = (112, 112)) -> np.ndarray:
    """A smooth random picture, (H, W, 3) uint8 BGR."""
    grid = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(grid, size[::-1], interpolation=cv2.INTER_LINEAR)


def encode(pixels: np.ndarray, extension: str = ".jpg", *settings: int) -> bytes:
    """`pixels` in the file format of `extension`; `settings` are cv2's."""
    return cv2.imencode(extension, pixels, settings)[1].tobytes()


def jpegs(count: int, size: tuple[int, int] = (112, 112)) -> list[bytes]:
    """`count` different JPEGs as InsightFace's: quality 95, 4:2:0."""
    return [encode(picture(seed, size)) for seed in range(count)]


def with_comment(jpeg: bytes, text: bytes) -> bytes:
    """`jpeg` with a comment segment; two bytes before `text` put it at an offset of 8 bytes."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 4) + b"\0\0" + text + jpeg[2:]


def write_set(
    folder: Path,
    images: Sequence[bytes],
    labels: Sequence[float | Sequence[float]],
    num_classes: int = 10,
    header: bool = True,
    size: tuple[int, int] = (112, 112),
) -> Path:
    """Write train.rec, train.idx and property, which says `size` of the images.

    With a header: record 0, images from key 1, then two identity records. Without: images from key 0.
    """
    import mxnet as mx

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "property").write_text(f"{num_classes},{size[0]},{size[1]}\n")
    file = mx.recordio.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "w")

    def write(key: int, label: float | Sequence[float], image: bytes) -> None:
        file.write_idx(key, mx.recordio.pack(mx.recordio.IRHeader(0, label, key, 0), image))

    end = len(images) + 1
    if header:
        write(0, [float(end), float(end + 2)], b"")
    for key, (label, image) in enumerate(zip(labels, images, strict=True), 1 if header else 0):
        write(key, label, image)
    if header:
        write(end, [1.0, 2.0], b"")
        write(end + 1, [2.0, float(end)], b"")
    file.close()
    return folder


def read_with_mxnet(folder: Path, key: int) -> tuple[float | np.ndarray, bytes]:
    """The label and the image of a record, as mxnet reads it."""
    import mxnet as mx

    file = mx.recordio.MXIndexedRecordIO(str(folder / "train.idx"), str(folder / "train.rec"), "r")
    header, image = mx.recordio.unpack(file.read_idx(key))
    file.close()
    return header.label, image
