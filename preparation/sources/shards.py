"""Which files a WebDataset lies in: those of a folder, of a pattern such as `faces-{0000..0099}.tar`, or one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from utils.errors import UserError

_SUFFIXES = (".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")  # refused ones too, so that none is missed
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")
_MOST = 100_000


def names_shards(path: Path) -> bool:
    """Whether a path is a pattern: it has braces, and nothing of that name is there."""
    return bool(_BRACES.search(str(path))) and not os.path.exists(path)  # Path.exists raises for a name too long


def shards_in(folder: Path) -> list[Path]:
    """The archives that lie in a folder, by name. Raises OSError."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(_SUFFIXES) and not path.name.startswith(".") and path.is_file()
    )


def shard_paths(path: Path) -> list[Path]:
    """The shards of a set in their order: by name in a folder, else as the pattern counts them.

    Raises:
        UserError: there is none, or one that the pattern names is missing.
    """
    if names_shards(path):
        return _named_by(path)
    if path.is_dir():
        try:
            found = shards_in(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from None
        if not found:
            raise UserError(f"{path} holds no .tar; give the folder in which the shards lie, or a pattern of them.")
        return found
    if not path.exists():
        raise UserError(f"{path} is neither a file nor a folder.")
    return [path]


def _named_by(path: Path) -> list[Path]:
    named = list(islice(_expand(str(path)), _MOST + 1))
    if len(named) > _MOST:
        raise UserError(f"{path} names more than {_MOST:,} shards; give the folder in which they lie.")
    shards = [Path(name) for name in dict.fromkeys(named)]
    if any(shard.is_absolute() for shard in shards):
        shards = [shard.absolute() for shard in shards]  # a choice may have both kinds
    missing = next((shard for shard in shards if not os.path.isfile(shard)), None)
    if missing:
        raise UserError(f"{missing}, a shard of {path}, is missing; name those that are there, or get it.")
    return shards


def _expand(text: str) -> Iterator[str]:
    """The words that a pattern stands for, as a shell counts them."""
    found = _BRACES.search(text)
    if not found:
        yield text
        return
    for word in _words(found[1]):
        for rest in _expand(text[found.end() :]):
            yield text[: found.start()] + word + rest


def _words(inside: str) -> Iterator[str]:
    """What may stand in place of `{inside}`: numbers of a range, of one width if an end begins with 0, or a choice."""
    ends = _RANGE.fullmatch(inside)
    if not ends:
        yield from inside.split(",") if "," in inside else [f"{{{inside}}}"]
        return
    padded = any(len(end) > 1 and end.startswith("0") for end in ends.groups())
    width = max(map(len, ends.groups())) if padded else 1
    first, last = map(int, ends.groups())
    if first > last:
        raise UserError(f"{{{inside}}} names no shard; a range counts up, such as {{0000..0099}}.")
    for number in range(first, last + 1):
        yield f"{number:0{width}d}"
