"""`history.jsonl` of a run: its figures, an object a line."""

import json
from collections.abc import Iterator
from pathlib import Path

from utils.errors import UserError
from utils.files import write_whole
from utils.reading.json_file import is_number, is_text, parse_object
from utils.reading.lines import byte_lines

HISTORY = "history.jsonl"


class HistoryFile:
    """Appends to a run's history; each line is on its way to the disk when `add` returns.

    step: where the run begins; what a course of before wrote for later steps is taken out, so that a resumed run
    leaves the history of an undisturbed one. Raises UserError where the file cannot be read or written.
    """

    def __init__(self, output: Path, step: int) -> None:
        path = output / HISTORY
        write_whole(path, b"".join(line + b"\n" for line in _lines(path) if _step_of(line) <= step))
        self._file = path.open("ab", buffering=0)

    def add(self, step: int, values: dict[str, float]) -> None:
        """values: by names such as "train/loss". Raises OSError."""
        self._file.write((json.dumps({"step": step, **values}) + "\n").encode())

    def close(self) -> None:
        self._file.close()


def read_history(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Steps and their figures, in order, one line in memory at a time; figures that are no finite number are left out.

    Raises UserError where the file cannot be read, and at a line that is none of a history; the last line may be torn,
    as that of a killed run is.
    """
    fault = None
    for number, line in byte_lines(path):
        if fault:
            raise UserError(fault)
        try:
            record = parse_object(line)
            step = record.pop("step")
            if not is_number(step) or not all(map(is_text, record)):
                raise ValueError("its step is no number")
        except (ValueError, KeyError) as error:
            fault = f"{path}, line {number} is not of a run's history: {error}"
            continue
        yield int(step), {name: value for name, value in record.items() if is_number(value)}


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _step_of(line: bytes) -> float:
    """The step of a line; beyond all steps if it is none, as the last one of a killed run may be."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")
