"""Tables of text, read with every mistake named by file and line; millions of lines of whole numbers in seconds."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from utils.errors import UserError
from utils.reading.limits import limits

_BLOCK = 1 << 24  # bytes
_SHOWN = 60  # characters of a faulty line
_DIGITS = 18  # that int64 holds in any case


def open_table(path: Path) -> BinaryIO:
    """The file, open. Raises UserError where it cannot be read."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def at_line(path: Path, number: int) -> str:
    """The words that say where a mistake is."""
    return f"{path}, line {number}"


def rows(path: Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Each line's number, from 1, and its `columns` fields, between spaces; blank lines at the end do not count.

    Raises UserError at a line with another number of fields, and where the file holds none.
    """
    empty = True
    for first, block in _blocks(path):
        for number, line in enumerate(block.decode(errors="replace").split("\n")[:-1], first):
            fields = line.split()
            if len(fields) != columns:
                raise UserError(_wrong_columns(path, number, fields, columns))
            yield number, fields
        empty = False
    if empty:
        raise UserError(f"{path} is empty")


def integer_blocks(path: Path, columns: int) -> Iterator[tuple[int, np.ndarray]]:
    """Runs of lines of whole numbers: the first one's number, from 1, and the values, (lines, columns) int64.

    As `rows`; also raises UserError at a field that is no whole number.
    """
    empty = True
    for first, block in _blocks(path):
        if _is_plain(block, columns):
            yield first, np.fromstring(block, dtype=np.int64, sep=" ").reshape(-1, columns)
        else:
            yield first, _read_slowly(path, first, block, columns)
        empty = False
    if empty:
        raise UserError(f"{path} is empty")


def _blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Whole lines, each ended by a line feed, and the number of the first one; no blank lines at the file's end."""
    number, held, most = 1, b"", limits().line_bytes
    with open_table(path) as file:
        while True:
            block = file.read(_BLOCK)
            held = (held + block).replace(b"\r\n", b"\n")
            if len(held) > _BLOCK + most:
                raise UserError(f"{at_line(path, number)} has more than {most} bytes (--limit line_bytes)")
            if not block:
                held = held.rstrip() and held.rstrip() + b"\n"
            # The last line and the blank ones before it wait: the file may end after them.
            end = len(held) if not block else held.rfind(b"\n", 0, len(held.rstrip())) + 1
            if end:
                yield number, held[:end]
            number, held = number + held.count(b"\n", 0, end), held[end:]
            if not block:
                return


def _is_plain(block: bytes, columns: int) -> bool:
    """Whether each line is `columns` runs of digits with one space between them, as the official files are."""
    letters = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(letters - ord("0") > 9)  # uint8 wraps, so that all but digits are
    if len(ends) % columns:
        return False
    separators = letters[ends].reshape(-1, columns)
    widths = np.diff(ends, prepend=-1) - 1
    return bool(
        (separators[:, -1] == ord("\n")).all()
        and (separators[:, :-1] == ord(" ")).all()
        and widths.min() >= 1
        and widths.max() <= _DIGITS
    )


def _read_slowly(path: Path, first: int, block: bytes, columns: int) -> np.ndarray:
    values = []
    for number, line in enumerate(block.split(b"\n")[:-1], first):
        fields = line.split()
        if len(fields) != columns:
            raise UserError(_wrong_columns(path, number, [field.decode(errors="replace") for field in fields], columns))
        try:
            values.append(np.array([int(field) for field in fields], dtype=np.int64))
        except (ValueError, OverflowError):
            shown = line.decode(errors="replace")[:_SHOWN]
            raise UserError(f"{at_line(path, number)} is {shown!r}, not {columns} whole numbers") from None
    return np.stack(values)


def _wrong_columns(path: Path, number: int, fields: list[str], columns: int) -> str:
    shown = " ".join(fields)[:_SHOWN]
    return f"{at_line(path, number)} has {len(fields)} columns, not {columns}: {shown!r}"
