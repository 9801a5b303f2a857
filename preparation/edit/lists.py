"""Lists that say what to keep or drop: labels, a line each, and CSV files of records."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from preparation.record_sets import RecordSets
from utils.errors import UserError
from utils.reading.faults import broken_file

_MAX_TEXT = 1 << 29  # bytes
_HELP = "it needs a first line with the columns `part,record`, or `record` alone for numbers through all parts"


def read_labels(path: Path) -> np.ndarray:
    """The labels of a text file, one a line, (n,) int64; empty lines do not count.

    Raises:
        UserError: it cannot be read, is empty or holds anything else.
    """
    labels = []
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line := line.strip():
            labels.append(_integer(line, path, number, "label"))
    if not labels:
        raise UserError(f"{path} lists no label.")
    return np.array(labels)


def read_records(path: Path, sets: RecordSets) -> np.ndarray:
    """The records that a CSV file says to drop, as numbers in `sets`, (n,) int64, each once.

    The first line names the columns: `part` (`part-00003`, or 3) and `record`, counted from 0 in that part; or
    `record` alone, counted through all parts. A row whose column `drop` is 0 is left alone; other columns do not
    matter. inspect_dataset's lists are such files.

    Raises:
        UserError: it cannot be read, has not these columns, or names a record that is not there.
    """
    columns, rows = _table(path)
    if "record" not in columns:
        about = "it lists what a conversion left out, which is not in the set" if "key" in columns else _HELP
        raise UserError(f"{path} is no list of records: {about}.")
    firsts = {part.name: int(start) for part, start in zip(sets.parts, sets.starts, strict=False)}
    sizes = dict(zip(firsts, np.diff(sets.starts).tolist(), strict=True))
    records: set[int] = set()
    for line, row in rows:
        word = row["record"] or ""
        if row.get("drop") == "0" or not word.strip():
            continue  # a row without a number speaks of a whole part
        record = _integer(word, path, line, "record")
        if "part" in columns:
            part = _part_name(row["part"] or "")
            if part not in firsts:
                raise UserError(f"{path}, line {line}: the set has no part {row['part']!r}.")
            if not 0 <= record < sizes[part]:
                raise UserError(f"{path}, line {line}: {part} has no record {record}, only 0 to {sizes[part] - 1}.")
            record += firsts[part]
        elif not 0 <= record < len(sets):
            raise UserError(f"{path}, line {line}: the set has no record {record}, only 0 to {len(sets) - 1}.")
        records.add(record)
    return np.array(sorted(records), np.int64)


def read_columns(path: Path, columns: Sequence[str], num_classes: int) -> np.ndarray:
    """The labels in these columns of a CSV file whose first line names its columns, (n, columns) int64; n may be 0.

    Raises:
        UserError: it cannot be read, has not these columns, or names a label that is not in [0, num_classes).
    """
    present, rows = _table(path)
    if not set(columns) <= set(present):
        raise UserError(f"{path} needs a first line with the column(s) `{','.join(columns)}`.")
    labels = []
    for line, row in rows:
        labels.append([_integer(row[column] or "", path, line, "label") for column in columns])
        for label in labels[-1]:
            if not 0 <= label < num_classes:
                raise UserError(f"{path}, line {line}: the set has no identity {label}.")
    return np.array(labels, np.int64).reshape(-1, len(columns))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_TEXT:
            raise UserError(f"{path} is no list: it has more than {_MAX_TEXT >> 20} MB.")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise UserError(f"{path} is not a text file in UTF-8.")
    return text


def _table(path: Path) -> tuple[Sequence[str], Iterator[tuple[int, dict[str, str | None]]]]:
    """The columns of a CSV file, and its rows by their lines' numbers."""
    reader = csv.DictReader(_text(path).splitlines(), strict=True)  # a quote that does not end is a fault
    with broken_file(path, "is no table"):
        columns = reader.fieldnames or []
    return columns, _numbered(path, reader)


def _numbered(path: Path, reader: csv.DictReader) -> Iterator[tuple[int, dict[str, str | None]]]:
    with broken_file(path, "is no table"):
        for row in reader:
            yield reader.line_num, row


def _integer(word: str, path: Path, line: int, what: str) -> int:
    if not re.fullmatch(r"\s*-?\d{1,18}\s*", word):
        raise UserError(f"{path}, line {line}: {word!r} is not a {what}'s number.")
    return int(word)


def _part_name(word: str) -> str:
    return f"part-{int(word):05d}" if re.fullmatch(r"\d{1,9}", word.strip()) else word.strip()
