"""Every way of being broken, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import UserError

_SHOWN = 120  # characters of what a decoder says


@contextmanager
def broken_file(path: Path | str, fault: str, remedy: str = "") -> Iterator[None]:
    """Raises UserError, in place of whatever the body raises, as `PATH FAULT (what was said); REMEDY`.

    The body is to hold nothing but a decoder's work on that file: there is no end to what libraries raise of damaged
    files, and so all of it is caught here. Memory that ran out and calls too deep are the file's doing too.
    FileNotFoundError passes: what a missing file means, the caller knows.
    """
    try:
        yield
    except (UserError, FileNotFoundError):
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or shown(error)}") from None
    except MemoryError:
        raise UserError(_sentence(path, fault, "it asks for more memory than there is", remedy)) from None
    except RecursionError:
        raise UserError(_sentence(path, fault, "it is nested too deeply", remedy)) from None
    except Exception as error:
        raise UserError(_sentence(path, fault, shown(error), remedy)) from None


def shown(value: object) -> str:
    """What an error says, or a text of a stranger, as a short line that a terminal can print."""
    text = str(value) or type(value).__name__
    line = "".join(letter if letter.isprintable() else "?" for letter in text[: 4 * _SHOWN].splitlines()[0])
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


def _sentence(path: Path | str, fault: str, said: str, remedy: str) -> str:
    return f"{path} {fault}: {said}" + (f"; {remedy}" if remedy else "")
