"""How large what is read may be: all of it in one place.

Every program takes `--limit NAME=NUMBER`, as often as need be; `utils.cli` puts them in force before anything is read,
and workers and ranks take them over. Readers ask `limits()` when they read, and are handed nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from utils.errors import UserError

_OPTION = "--limit"
_MOST = (1 << 31) - 1  # places in records are int32


@dataclass(frozen=True)
class Limits:
    """Beyond these a file is refused in a sentence, or an image counts as broken, before memory is taken for it."""

    image_pixels: int = 200_000_000  # of an image; decoded it has 600 MB
    pixels_per_byte: int = 10_000  # of an image beyond 4 million pixels, for each byte of its file
    image_bytes: int = 256 << 20  # of an image's file, also unpacked
    header_bytes: int = 1 << 20  # of each header in an archive
    index_bytes: int = 1 << 30  # of a zip's list of its members
    json_bytes: int = 256 << 20  # a manifest of a million parts has 100 MB
    line_bytes: int = 1 << 20  # of a line in a list or a table (a path has 4096), or a label in a shard


_in_force = Limits()


def limits() -> Limits:
    """Those in force in this process."""
    return _in_force


def use_limits(chosen: Limits) -> None:
    """For entry points, and the first moment of workers."""
    global _in_force
    _in_force = chosen


def take_limits(arguments: Iterable[str]) -> tuple[list[str], Limits]:
    """A command line without its `--limit` options, and what they say. Raises UserError for what they cannot say."""
    others, settings, words = [], [], iter(arguments)
    for word in words:
        name, given, value = word.partition("=")
        if name == _OPTION:
            settings.append(value if given else next(words, ""))
        else:
            others.append(word)
    return others, replace(Limits(), **dict(map(_read, settings)))


def limit_options(chosen: Limits) -> list[str]:
    """The options that say so, for programs that are started by this one."""
    usual = asdict(Limits())
    return [f"{_OPTION}={name}={value}" for name, value in asdict(chosen).items() if value != usual[name]]


def _read(setting: str) -> tuple[str, int]:
    name, _, number = setting.partition("=")
    names = list(asdict(Limits()))
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(names)}."
        raise UserError(f"{_OPTION} {setting} is not known: {hint}")
    digits = number.replace("_", "")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 10 and 0 < int(digits) <= _MOST):
        raise UserError(f"{_OPTION} {setting} is not possible: write a whole number from 1 to {_MOST}.")
    return name, int(digits)
