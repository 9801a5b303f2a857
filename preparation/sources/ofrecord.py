"""A finished OFRecord set, with its `dataset.json`, as a source."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.images import ImageChecker
from data.manifest import MANIFEST_NAME, read_index
from data.ofrecord import index_path
from data.storage import is_local
from preparation.record_sets import RecordSets
from preparation.sources.source import ENTRY_DTYPE, companions, judge_image, stamps
from utils.errors import UserError

_RECORDS_AT_ONCE = 128  # about a megabyte


class OFRecordSource:
    """Keys are the records' places in the set, from 0, through all parts. Raises what `Manifest.check` does."""

    format = "OFRecord parts"
    class_names = None

    def __init__(self, folder: Path) -> None:
        self.path = folder
        self._sets = RecordSets(folder)
        self.num_classes = self._sets.manifests[0].num_classes
        self.image_size = self._sets.image_size
        self.reader = OFRecordReader(self._sets)

    def records(self) -> range:
        return range(len(self._sets))

    def images(self, entries: np.ndarray) -> np.ndarray:
        return entries

    def name(self, key: int) -> int:
        return key

    def fingerprint(self) -> Mapping[str, object]:
        return stamps([self.path / MANIFEST_NAME, *self._sets.parts])

    def beside(self) -> list[Path]:
        return companions(self.path)

    def is_changed_by(self, output: Path) -> bool:
        return is_local(output) and os.path.realpath(output) == os.path.realpath(self.path)


@dataclass(frozen=True)
class OFRecordReader:
    """Reads the records of a set by their places."""

    sets: RecordSets

    def judge(self, records: range, verify: bool) -> np.ndarray:
        checker = ImageChecker(self.sets.image_size)
        entries = np.zeros(len(records), ENTRY_DTYPE)
        entries["key"] = records
        start = records.start
        while start < records.stop:
            part, first = self.sets.place(start)
            index = read_index(index_path(part))[first : first + min(_RECORDS_AT_ONCE, records.stop - start)]
            some = entries[start - records.start :][: len(index)]
            for name in index.dtype.names:
                some[name] = index[name]
            some["verdict"] = _judge(part, index, checker, verify)
            start += len(index)
        return entries

    def read(self, entries: np.ndarray) -> Iterator[bytes]:
        for key, offset, length in entries[["key", "offset", "length"]].tolist():
            part, _ = self.sets.place(key)
            yield _read(part, offset, length)


def _judge(part: Path, index: np.ndarray, checker: ImageChecker, verify: bool) -> list[int]:
    """The verdicts on records of one part that follow each other; `index` is what the sidecar says of them."""
    begin, end = int(index["offset"][0]), int(index["offset"][-1] + index["length"][-1])
    block = _read(part, begin, end - begin)
    places = zip((index["offset"] - begin).tolist(), index["length"].tolist(), strict=True)
    return [judge_image(checker, block, start, start + length, verify) for start, length in places]


def _read(part: Path, offset: int, length: int) -> bytes:
    with open(part, "rb", buffering=0) as file:  # not kept open: a set may have more parts than a process has files
        data = os.pread(file.fileno(), length, offset)
    if len(data) < length:
        raise UserError(f"{part} became shorter during its conversion.")
    return data
