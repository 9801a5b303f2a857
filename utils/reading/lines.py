"""Lines of a text file, none longer than a line is."""

from collections.abc import Iterator
from pathlib import Path

from utils.errors import UserError
from utils.files import refuse_pipe
from utils.reading.limits import limits


def byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file and their numbers, from 1, without their ends (LF or CR LF). Raises UserError."""
    refuse_pipe(path)
    most = limits().line_bytes
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(most + 1):
                number += 1
                if len(line) > most:
                    raise UserError(f"{path} is no list: line {number} has more than {most} bytes (--limit line_bytes)")
                yield number, line.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
