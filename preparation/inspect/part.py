"""Everything that can be wrong with one part, record by record; unlike `scan_part`, it goes on after a fault."""

from __future__ import annotations

import csv
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.images import ImageChecker, Verdict, decodes_cleanly
from data.manifest import Part, read_index
from data.ofrecord import file_crc32, index_path, parse_record
from preparation.inspect.duplicates import digest, perceptual_hashes, thumbnail
from utils.errors import UserError

# What is known of a record: where its JPEG lies, its label (-1: unusable), and what tells duplicates.
RECORD_DTYPE = np.dtype(
    [("offset", "<i8"), ("length", "<i4"), ("label", "<i4"), ("digest", "<u8"), ("hash", "<u8")],
)
_HASHED_AT_ONCE = 256


def inspect_part(
    folder: Path,
    part: Part,
    start: int,
    num_classes: int,
    image_size: tuple[int, int],
    verify: bool,
    duplicates: bool,
    table: Path,
    faults: Path,
) -> int:
    """Check one part of a set.

    Args:
        start: the part's first record in `table`.
        num_classes, image_size: of the set.
        verify: decode every image, not only its header.
        duplicates: also fill in digest and hash.
        table: a file of `RECORD_DTYPE` for all records of the set, labels -1; the part's usable records are filled in.
        faults: file to write a CSV row (part, record, fault) to for each fault, if there is one.

    Returns:
        How many faults there are.
    """
    count, checker = 0, ImageChecker(image_size)
    records = np.load(table, mmap_mode="r+")[start : start + part.records]
    with open(faults, "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        for record, fault in _faults(folder / part.name, part, num_classes, checker, verify, records):
            rows.writerow((part.name, record, fault))
            count += 1
    if duplicates:
        _hash(folder / part.name, records)
    return count


def _faults(
    path: Path, part: Part, num_classes: int, checker: ImageChecker, verify: bool, records: np.ndarray
) -> Iterator[tuple[int | str, str]]:
    """Yield (record, or "" for all of the part; what is wrong), and fill in `records`."""
    if path.exists() and not path.is_file():
        yield "", "the part cannot be read: it is no regular file"
        return
    try:
        size, checksum = path.stat().st_size, file_crc32(path)
    except OSError as error:
        yield "", f"the part cannot be read: {error.strerror}"
        return
    if size != part.bytes:
        yield "", f"the part has {size} bytes but dataset.json says {part.bytes}"
    elif checksum != part.crc32:
        yield "", "the part's bytes are not those that were written: its CRC-32 differs from dataset.json's"
    index = None
    try:
        index = read_index(index_path(path))
        if len(index) != part.records:
            yield "", f"the sidecar lists {len(index)} records but dataset.json says {part.records}"
    except UserError as error:
        yield "", str(error).rstrip(".")
    if not size:
        return
    number = -1
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, (begin, end) in enumerate(_frames(data)):
            if end is None:
                yield number, f"the record's length goes wrong at byte {begin}; what follows in the part is lost"
                number -= 1
                break
            fault = _record_fault(data, begin, end, number, index, num_classes, checker, verify, records)
            if fault:
                yield number, fault
    if number + 1 != part.records:
        yield "", f"the part holds {number + 1} whole records but dataset.json says {part.records}"


def _frames(data: mmap.mmap) -> Iterator[tuple[int, int | None]]:
    """Yield where each message begins and ends; (place, None) at the first length that cannot be."""
    at = 0
    while at < len(data):
        length = struct.unpack_from("<q", data, at)[0] if at + 8 <= len(data) else 0
        if not 0 < length <= len(data) - at - 8:
            yield at, None
            return
        yield at + 8, at + 8 + length
        at += 8 + length


def _record_fault(
    data: mmap.mmap,
    begin: int,
    end: int,
    number: int,
    index: np.ndarray | None,
    num_classes: int,
    checker: ImageChecker,
    verify: bool,
    records: np.ndarray,
) -> str | None:
    """What is wrong with one record, if anything; a usable one is filled in."""
    try:
        offset, length, label = parse_record(data, begin, end)
    except ValueError as error:
        return f"the record {error}"
    if not 0 <= label < num_classes:
        return f"the label is {label}, but labels must lie in [0, {num_classes - 1}]"
    verdict = checker.check(data, offset, offset + length)
    if verdict is Verdict.GOOD and verify and not decodes_cleanly(data[offset : offset + length]):
        verdict = Verdict.BROKEN
    if verdict is not Verdict.GOOD:
        return f"the image is {verdict.reason(checker.size)}"
    if number < len(records):
        records[number] = (offset, length, label, 0, 0)
    if index is not None and number < len(index) and index[number].tolist() != (offset, length, label):
        return f"the sidecar says offset, length, label {index[number].tolist()}, the record {(offset, length, label)}"
    return None


def _hash(path: Path, records: np.ndarray) -> None:
    """Fill in digest and hash of the usable records; those that do not decode become unusable."""
    usable = np.flatnonzero(records["label"] >= 0)
    if not len(usable):
        return
    with open(path, "rb", buffering=0) as file:
        for start in range(0, len(usable), _HASHED_AT_ONCE):
            some = usable[start : start + _HASHED_AT_ONCE]
            images = [os.pread(file.fileno(), int(r["length"]), int(r["offset"])) for r in records[some]]
            thumbnails = [thumbnail(image) for image in images]
            good = [each is not None for each in thumbnails]
            records["digest"][some] = [digest(image) for image in images]
            records["label"][some[~np.array(good)]] = -1
            records["hash"][some[good]] = perceptual_hashes([each for each in thumbnails if each is not None])
