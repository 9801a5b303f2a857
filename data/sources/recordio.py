"""MXNet recordio in InsightFace's layout as a source: a folder with `train.rec`, `train.idx` and `property`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.images import IMAGE_SIZE, ImageChecker, Verdict
from data.recordio import Index, join_chunks, read_index, read_property, scan, unpack
from data.sources.source import DAMAGED, LABELS_ONLY, SPLIT, judge_image, stamps
from utils.errors import UserError

_HEADER_FLOAT = np.float32  # the type of the header's keys, and the integer up to which it holds every one
_EXACT = 1 << 24
_MAX_CLASSES = 1 << 24  # labels are float32 in recordio, exact up to here


class RecordioSource:
    """Keys are those of `train.idx`. Raises UserError where `property` is missing or speaks of something else."""

    format = "MXNet recordio"
    class_names = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "train.rec"
        self._idx = folder / "train.idx"
        self._property = folder / "property"
        self.reader = RecordioReader(self.path)
        self.num_classes, size = read_property(self._property)
        if size != IMAGE_SIZE or self.num_classes > _MAX_CLASSES:
            raise UserError(
                f"{self._property} says {self.num_classes} classes of {size[0]}x{size[1]} images; "
                f"only {IMAGE_SIZE[0]}x{IMAGE_SIZE[1]} and at most {_MAX_CLASSES} classes can be used."
            )

    def records(self) -> Index:
        return read_index(self._idx, self.path)

    def images(self, entries: np.ndarray) -> np.ndarray:
        if (np.diff(entries["key"]) < 0).any():  # rare, and a copy
            entries = entries[np.argsort(entries["key"], kind="stable")]
        return entries[_image_range(entries, self.path)]

    def name(self, key: int) -> int:
        return key

    def fingerprint(self) -> dict[str, object]:
        return stamps([self.path, self._idx, self._property])

    def beside(self) -> list[Path]:
        return [self._property, *sorted(self._folder.glob("*.bin"))]


@dataclass(frozen=True)
class RecordioReader:
    """Reads the records of one .rec file."""

    rec: Path

    def judge(self, records: Index, verify: bool) -> np.ndarray:
        checker = ImageChecker()
        judged = []
        for begin, block, entries, split_images in scan(self.rec, records):
            split = iter(split_images)
            verdicts = []
            for offset, length, kind in entries[["offset", "length", "kind"]].tolist():
                image = next(split) if kind == SPLIT else None
                data, start, end = (block, offset, offset + length) if image is None else (image, 0, len(image))
                empty = kind in (LABELS_ONLY, DAMAGED)
                verdicts.append(Verdict.EMPTY if empty else judge_image(checker, data, start, end, verify))
            entries["verdict"] = verdicts
            entries["offset"] += begin
            judged.append(entries)
        return np.concatenate(judged)

    def read(self, entries: np.ndarray) -> Iterator[bytes]:
        with open(self.rec, "rb", buffering=0) as file:
            for offset, length, kind in entries[["offset", "length", "kind"]].tolist():
                image = os.pread(file.fileno(), length, offset)
                if len(image) < length:
                    raise UserError(f"{self.rec} became shorter during its conversion.")
                yield unpack(join_chunks(image))[2] if kind == SPLIT else image


def _image_range(entries: np.ndarray, rec: Path) -> slice:
    """Which of the `entries`, sorted by key, are images.

    Record 0 is a header if it holds two labels and no image: [first identity's key, end]. Without one, all are images.
    """
    if entries["key"][0] != 0 or entries["kind"][0] != LABELS_ONLY:
        return slice(0, len(entries))
    first = _first_identity(rec, int(entries["offset"][0]) - 40)
    images = int(np.searchsorted(entries["key"], first))
    if first > _EXACT:  # only known to the next float: the records themselves must say where the images end
        images = int(np.flatnonzero(entries["kind"] != LABELS_ONLY).max(initial=0)) + 1
        exact = int(entries["key"][images - 1]) + 1
        if _HEADER_FLOAT(exact) != _HEADER_FLOAT(first):
            raise UserError(
                f"The header of {rec} says that the images end before key {first}, but they end before {exact}."
            )
        first = exact
    if images != first:
        raise UserError(
            f"The header of {rec} speaks of {first - 1} images but its .idx lists {images - 1}; "
            "the two do not belong together."
        )
    strays = np.flatnonzero(entries["kind"][images:] != LABELS_ONLY)
    if len(strays):
        raise UserError(
            f"The header of {rec} says that identities begin at key {first}, but record "
            f"{entries['key'][images + strays[0]]} is not one."
        )
    return slice(1, images)


def _first_identity(rec: Path, offset: int) -> int:
    """The first identity's key from the header record at byte `offset`."""
    with open(rec, "rb") as file:
        payload = join_chunks(os.pread(file.fileno(), 40, offset))
    _, (first, _), _ = unpack(payload)
    if not (first >= 1 and first.is_integer()):
        raise UserError(f"The header of {rec} is damaged: the first identity's key cannot be {first}.")
    return int(first)
