"""The first pass of a conversion: judge every record, then decide which images go where.

Parts must be of equal size whatever has to be left out, so everything is judged before anything is written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from data.images import Verdict
from preparation.sources.source import ENTRY_DTYPE, FAULTY_KINDS, Reader, RecordsT, Source
from utils.errors import UserError

SKIPPED_NAME = "skipped.csv"
_TASKS = 256  # or more, but each has so many records that its own cost does not count, and not too many for a message
_FEWEST, _MOST = 8192, 65536  # records


@dataclass(frozen=True)
class Plan:
    """What a conversion will do.

    Attributes:
        entries: (records,) of `ENTRY_DTYPE`, in the order in which they are written.
        repaired: how many of them are re-encoded.
        skipped: (the record's name, label, reason) of each image that is left out, by key.
        first_fault: the first record that is not copied as it is, as a clause; None where all are.
    """

    entries: np.ndarray
    repaired: int
    skipped: list[tuple[int | str, float, str]]
    first_fault: str | None


def make_plan(entries: np.ndarray, source: Source, seed: int | None) -> Plan:
    """Decide over all records of a set.

    Args:
        entries: all records of `source`, (N,) of `ENTRY_DTYPE`, judged.
        seed: of the order; None keeps the order of the keys.

    Raises:
        UserError: the set contradicts itself, or no image is left.
    """
    images = source.images(entries)
    labels = images["label"]
    bad_label = ~((labels >= 0) & (labels < source.num_classes) & (labels == np.floor(labels)))  # NaN is bad too
    verdicts, kinds = images["verdict"], images["kind"]
    skip = bad_label | (verdicts >= Verdict.EMPTY)
    repair = ~skip & (verdicts != Verdict.GOOD)

    def reason(i: int) -> str:
        if kinds[i] in FAULTY_KINDS:
            return FAULTY_KINDS[kinds[i]]
        if bad_label[i]:
            return f"the label is not an integer in [0, {source.num_classes - 1}]"
        return f"the image is {Verdict(verdicts[i]).reason(source.image_size)}"

    skipped = [(source.name(int(images["key"][i])), float(labels[i]), reason(i)) for i in np.flatnonzero(skip).tolist()]
    faults = np.flatnonzero(skip | repair)
    first_fault = f"record {source.name(int(images['key'][faults[0]]))}: {reason(faults[0])}" if len(faults) else None
    order = np.flatnonzero(~skip)
    if not len(order):
        advice = "; --image_size says another size" if (verdicts == Verdict.WRONG_SIZE).all() else ""
        raise UserError(f"{source.path} has no usable image ({first_fault or 'it holds none'}{advice}).")
    if seed is not None:
        np.random.default_rng(seed).shuffle(order)
    return Plan(images[order], int(repair.sum()), skipped, first_fault)


def judge_records(
    reader: Reader[RecordsT], records: RecordsT, verify: bool, executor: Executor, progress: Callable[[int], object]
) -> np.ndarray:
    """Judge all `records` of a source in parallel.

    Args:
        verify: decode every image, not only its header.
        progress: called with the number of records that were judged since the last call.

    Returns:
        (N,) of `ENTRY_DTYPE`, in the order of `records`.

    Raises:
        UserError: the source is damaged.
    """
    size = min(max(len(records) // _TASKS, _FEWEST), _MOST)
    slices = [records[i : i + size] for i in range(0, len(records), size)]
    judged, done = np.empty(len(records), ENTRY_DTYPE), 0
    for entries in executor.map(reader.judge, slices, [verify] * len(slices)):
        judged[done : done + len(entries)] = entries
        done += len(entries)
        progress(len(entries))
    return judged


def skipped_lines(skipped: list[tuple[int | str, float, str]]) -> bytes:
    """The content of `skipped.csv`, the list of what was left out, as CSV: key, label, reason."""
    lines = io.StringIO(newline="")
    rows = csv.writer(lines, lineterminator="\n")
    rows.writerow(("key", "label", "reason"))
    rows.writerows((key, int(label) if label.is_integer() else label, reason) for key, label, reason in skipped)
    return lines.getvalue().encode("utf-8", "surrogateescape")  # file names are any bytes
