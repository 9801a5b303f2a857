"""JSON of bounded size and depth, whose fields have the types that are asked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from utils.errors import UserError
from utils.files import refuse_pipe
from utils.reading.faults import broken_file
from utils.reading.limits import limits

_MAX_DEPTH = 64
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")

Rule = Callable[[Any], bool]


def read_object(path: Path, fault: str, remedy: str = "", max_bytes: int | None = None) -> dict:
    """The JSON object in a file, of at most `max_bytes`, and never more than the limits in force allow.

    Raises UserError, saying that the path has the `fault`, and FileNotFoundError.
    """
    refuse_pipe(path)
    most = limits().json_bytes if max_bytes is None else min(max_bytes, limits().json_bytes)
    with broken_file(path, fault, remedy):
        with path.open("rb") as file:
            text = file.read(most + 1)
        if len(text) > most:
            raise ValueError(f"it is larger than {most} bytes (--limit json_bytes)")
        return parse_object(text)


def parse_object(text: bytes) -> dict:
    """The JSON object that `text` is. Raises ValueError, whatever is wrong with it."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError("it is no object of JSON")
    return value


def parse_json(text: bytes) -> Any:
    """The JSON that `text` is. Raises ValueError, whatever is wrong with it."""
    if _depth(text) > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    try:
        return json.loads(text.decode("utf-8-sig"))
    except ValueError as error:  # UnicodeDecodeError too, which would show its bytes
        raise ValueError(f"it is not JSON: {getattr(error, 'reason', None) or error}") from None


def has_fields(value: Any, rules: Mapping[str, Rule]) -> bool:
    """Whether `value` is an object that has every field of `rules`, each one as its rule has it."""
    return isinstance(value, dict) and all(key in value and rule(value[key]) for key, rule in rules.items())


def check_fields(path: Path, fields: dict, fault: str, rules: Mapping[str, Rule], remedy: str = "") -> None:
    """Raises UserError naming the first field that is missing or of another type than its rule has it."""
    for key, rule in rules.items():
        if key not in fields or not rule(fields[key]):
            state = "not what it can be" if key in fields else "missing"
            raise UserError(f"{path} {fault}: its {key} is {state}" + (f"; {remedy}" if remedy else ""))


def is_text(value: Any) -> bool:
    """A string that a file can be called, or a person: without a zero byte, and encodable."""
    return isinstance(value, str) and "\0" not in value and not re.search("[\ud800-\udfff]", value)


def is_count(value: Any) -> bool:
    """A whole number from 0 on that int64 holds."""
    return type(value) is int and 0 <= value < 1 << 63


def is_positive(value: Any) -> bool:
    """A whole number above 0 that int64 holds."""
    return is_count(value) and value > 0


def is_number(value: Any) -> TypeGuard[float]:
    """A finite number."""
    return type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value)


def optional(rule: Rule) -> Rule:
    """`rule`, or null."""
    return lambda value: value is None or rule(value)


def list_of(rule: Rule) -> Rule:
    """A list whose items are all as `rule` has them."""
    return lambda value: isinstance(value, list) and all(map(rule, value))


def _depth(text: bytes) -> int:
    """How deep brackets outside of strings are nested; counted before Python's decoder calls itself for each."""
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(_TEXTS.sub(b"", text)):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
        if deepest > _MAX_DEPTH:
            break
    return deepest
