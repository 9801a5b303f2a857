"""Lines of a text file, none longer than a line is."""

from collections.abc import Iterator
from pathlib import Path

from utils.errors import UserError
from utils.files import refuse_pipe

MAX_LINE = 1 << 20  # bytes; a path has 4096 at most


def byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file and their numbers, from 1, without their ends (LF or CR LF). Raises UserError."""
    refuse_pipe(path)
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise UserError(f"{path} is no list: line {number} has more than {MAX_LINE >> 20} MB")
                yield number, line.removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
