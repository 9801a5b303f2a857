"""MXNet recordio in InsightFace's layout as a source: a folder with `train.rec`, `train.idx` and `property`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.images import ImageChecker, Verdict
from data.storage import RangeReader
from preparation.sources.identities import EXACT, exact_labels, image_range
from preparation.sources.recordio_file import Index, join_chunks, read_index, read_property, scan, unpack
from preparation.sources.source import DAMAGED, LABELS_ONLY, SPLIT, companions, judge_image, stamps
from utils.errors import UserError
from utils.pixels import SIDES, size_words

_MAX_CLASSES = 1 << 31  # labels are int32 in OFRecord


class RecordioSource:
    """Keys are those of `train.idx`. The images have the size that `property` says, as in every set of this kind.

    Raises UserError where `property` is missing or says what cannot be used.
    """

    format = "MXNet recordio"
    class_names = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "train.rec"
        self._idx = folder / "train.idx"
        self._property = folder / "property"
        self.num_classes, self.image_size = read_property(self._property)
        if not all(side in SIDES for side in self.image_size) or self.num_classes > _MAX_CLASSES:
            raise UserError(
                f"{self._property} says {self.num_classes} classes of {size_words(self.image_size)} images; only sides "
                f"of {SIDES[0]} to {SIDES[-1]} pixels and at most {_MAX_CLASSES} classes can be used."
            )
        self.reader = RecordioReader(self.path, self.image_size)

    def records(self) -> Index:
        return read_index(self._idx, self.path)

    def images(self, entries: np.ndarray) -> np.ndarray:
        if (np.diff(entries["key"]) < 0).any():  # rare, and a copy
            entries = entries[np.argsort(entries["key"], kind="stable")]
        where = image_range(entries, self.path)
        images = entries[where]
        if self.num_classes > EXACT:
            images["label"] = exact_labels(entries, where, self.num_classes, self.path)
        return images

    def name(self, key: int) -> int:
        return key

    def fingerprint(self) -> Mapping[str, object]:
        return stamps([self.path, self._idx, self._property])

    def beside(self) -> list[Path]:
        return companions(self._folder)

    def is_changed_by(self, output: Path) -> bool:
        return False


@dataclass(frozen=True)
class RecordioReader:
    """Reads the records of one .rec file."""

    rec: Path
    image_size: tuple[int, int]

    def judge(self, records: Index, verify: bool) -> np.ndarray:
        checker = ImageChecker(self.image_size)
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
        offsets, lengths, kinds = (entries[name].tolist() for name in ("offset", "length", "kind"))
        with RangeReader(self.rec) as file:
            for image, length, kind in zip(file.read_many(offsets, lengths), lengths, kinds, strict=True):
                if len(image) < length:
                    raise UserError(f"{self.rec} became shorter during its conversion.")
                yield unpack(join_chunks(image))[2] if kind == SPLIT else image
