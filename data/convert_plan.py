"""The first pass of a conversion: judge every record, then decide which images go where.

Parts must be of equal size whatever has to be left out, so everything is judged before anything is written.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.images import ImageChecker, Verdict, decodes_cleanly
from data.recordio import DAMAGED, ENTRY_DTYPE, LABELS_ONLY, SPLIT, Index, join_chunks, scan, unpack
from utils.errors import UserError

_HEADER_FLOAT = np.float32  # the type of the header's keys, and the integer up to which it holds every one
_EXACT = 1 << 24
_RECORDS_PER_TASK = 8192


@dataclass(frozen=True)
class Plan:
    """What a conversion will do.

    Attributes:
        entries: (records,) of `recordio.ENTRY_DTYPE`, in the order in which they are written.
        repaired: how many of them are re-encoded.
        skipped: (key, label, reason) of each image that is left out, by key.
        first_fault: the first record that is not copied as it is, as a clause; None where all are.
    """

    entries: np.ndarray
    repaired: int
    skipped: list[tuple[int, float, str]]
    first_fault: str | None


def make_plan(entries: np.ndarray, rec: Path, num_classes: int, seed: int | None) -> Plan:
    """Decide over all records of a set.

    Args:
        entries: (N,) of `recordio.ENTRY_DTYPE` in the order of `rec`, judged.
        rec: the .rec file, for its header record and for messages.
        num_classes: labels must be integers in [0, num_classes).
        seed: of the order; None keeps the order of the keys.

    Raises:
        UserError: the header contradicts the records, or no image is left.
    """
    if (np.diff(entries["key"]) < 0).any():  # rare, and a copy
        entries = entries[np.argsort(entries["key"], kind="stable")]
    images = entries[_image_range(entries, rec)]
    labels = images["label"]
    bad_label = ~((labels >= 0) & (labels < num_classes) & (labels == np.floor(labels)))  # NaN is bad too
    verdicts, damaged = images["verdict"], images["kind"] == DAMAGED
    skip = bad_label | (verdicts >= Verdict.EMPTY)
    repair = ~skip & (verdicts != Verdict.GOOD)

    def reason(i: int) -> str:
        if damaged[i]:
            return "the record's header is cut short"
        if bad_label[i]:
            return f"the label is not an integer in [0, {num_classes - 1}]"
        return f"the image is {Verdict(verdicts[i]).reason}"

    skipped = [(int(images["key"][i]), float(labels[i]), reason(i)) for i in np.flatnonzero(skip).tolist()]
    faults = np.flatnonzero(skip | repair)
    first_fault = f"record {images['key'][faults[0]]}: {reason(faults[0])}" if len(faults) else None
    order = np.flatnonzero(~skip)
    if not len(order):
        raise UserError(f"{rec} has no usable image ({first_fault or 'it holds none'}).")
    if seed is not None:
        np.random.default_rng(seed).shuffle(order)
    return Plan(images[order], int(repair.sum()), skipped, first_fault)


def judge_records(
    rec: Path, index: Index, verify: bool, executor: Executor, progress: Callable[[int], object]
) -> np.ndarray:
    """Judge all records of `index` in parallel.

    Args:
        verify: decode every image, not only its header.
        progress: called with the number of records that were judged since the last call.

    Returns:
        (N,) of `ENTRY_DTYPE`, in the order of `index`.

    Raises:
        UserError: `rec` is truncated, damaged, or not what `index` describes.
    """
    slices = [index[i : i + _RECORDS_PER_TASK] for i in range(0, len(index), _RECORDS_PER_TASK)]
    judged, done = np.empty(len(index), ENTRY_DTYPE), 0
    for entries in executor.map(_judge_slice, [rec] * len(slices), slices, [verify] * len(slices)):
        judged[done : done + len(entries)] = entries
        done += len(entries)
        progress(len(entries))
    return judged


def write_skipped(path: Path, skipped: list[tuple[int, float, str]]) -> None:
    """Write the list of what was left out, as CSV: key, label, reason."""
    with open(path, "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("key", "label", "reason"))
        rows.writerows((key, int(label) if label.is_integer() else label, reason) for key, label, reason in skipped)


def _judge_slice(rec: Path, index: Index, verify: bool) -> np.ndarray:
    checker = ImageChecker()
    judged = []
    for begin, block, entries, split_images in scan(rec, index):
        split = iter(split_images)
        verdicts = []
        for offset, length, kind in entries[["offset", "length", "kind"]].tolist():
            image = next(split) if kind == SPLIT else None
            data, start, end = (block, offset, offset + length) if image is None else (image, 0, len(image))
            verdict = Verdict.EMPTY if kind in (LABELS_ONLY, DAMAGED) else checker.check(data, start, end)
            if verify and verdict < Verdict.EMPTY and not decodes_cleanly(data[start:end]):
                verdict = Verdict.BROKEN
            verdicts.append(verdict)
        entries["verdict"] = verdicts
        entries["offset"] += begin
        judged.append(entries)
    return np.concatenate(judged)


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
