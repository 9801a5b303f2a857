"""Damage to a file's bytes, the same for the same seed."""

import json
import random
import re
import struct
from collections.abc import Callable

_INTEGERS = (0, 1, 2, 7, 127, 128, 255, 256, 32767, 65535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, -1, 1 << 40)
_WORDS = (
    *(b"", b"-1", b"0", b"1e999", b"NaN", b"Infinity", b"null", b"true", b"[]", b"{}", b'"x"', b"1.5", b"10" * 9),
    *(
        b"9" * 5000,
        b"1000000000000",
        b"4294967296",
        b"\0",
        b"\xff\xfe",
        b"../../etc/passwd",
        b"[" * 3000,
        b'{"a":' * 3000,
    ),
)
_VALUES = (
    None,
    True,
    -1,
    0,
    10**12,
    10**30,
    10**400,
    1.5,
    1e300,
    "",
    "x",
    "a\0b",
    "\ud800",
    [],
    {},
    [[]],
    [None] * 3,
    {"a": 1},
)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """`data` after one to four kinds of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_DAMAGES)(rng, data)
    return data


def mutated_json(rng: random.Random, data: bytes) -> bytes:
    """JSON whose values are others; now and then its bytes are."""
    try:
        value = json.loads(data)
    except ValueError:
        return mutated(rng, data)
    if rng.random() < 0.4:
        return mutated(rng, data)
    for _ in range(rng.choice((1, 1, 2))):
        value = _change(rng, value)
    return json.dumps(value).encode()


def mutated_lines(rng: random.Random, data: bytes) -> bytes:
    """JSON on each line; that of one is another."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    return b"\n".join([*lines[:at], mutated_json(rng, lines[at]), *lines[at + 1 :]])


def mutated_header(rng: random.Random, data: bytes) -> bytes:
    """safetensors whose header, which is JSON, says something else; now and then other bytes are damaged."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size])
    except ValueError:
        return mutated(rng, data)
    if rng.random() < 0.5:
        return mutated(rng, data)
    header["__metadata__"] = _change(rng, header.get("__metadata__"))
    said = json.dumps(header).encode()
    return struct.pack("<Q", len(said)) + said + data[8 + size :]


def _change(rng: random.Random, value: object) -> object:
    """Another value at some place in `value`."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {name: one for name, one in value.items() if name != key}
        return {**value, key: _change(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        if rng.random() < 0.3:
            return value[:at] + value[at:][: rng.choice((0, 1))] * 2 + value[at + 1 :]
        return [*value[:at], _change(rng, value[at]), *value[at + 1 :]]
    if type(value) is int and rng.random() < 0.4:
        return value + rng.choice((-1, 1, 1 << 31, -value))
    return rng.choice(_VALUES)


def _place(rng: random.Random, data: bytes) -> int:
    """Headers and ends are hit more often than what is between them."""
    if rng.random() < 0.5:
        return rng.randrange(min(len(data), 64) or 1)
    return max(0, len(data) - 1 - rng.randrange(64)) if rng.random() < 0.2 else rng.randrange(len(data) or 1)


def _put(data: bytes, at: int, new: bytes, length: int | None = None) -> bytes:
    return data[:at] + new + data[at + (len(new) if length is None else length) :]


def _flip(rng: random.Random, data: bytes) -> bytes:
    at = _place(rng, data)
    return _put(data, at, bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]))


def _noise(rng: random.Random, data: bytes) -> bytes:
    return _put(data, _place(rng, data), rng.randbytes(rng.choice((1, 2, 4, 16, 200))))


def _integer(rng: random.Random, data: bytes) -> bytes:
    width, order = rng.choice((1, 2, 4, 8)), rng.choice("<>")
    number = rng.choice(_INTEGERS) & (1 << 8 * width) - 1
    return _put(data, _place(rng, data), struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[width], number))


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice((_place(rng, data), 0, max(0, len(data) - 1)))]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return _put(data, _place(rng, data), b"", rng.choice((1, 3, 8, 100)))


def _double(rng: random.Random, data: bytes) -> bytes:
    begin, length = _place(rng, data), rng.choice((1, 8, 64, 512, len(data)))
    return _put(data, _place(rng, data), data[begin : begin + length] * rng.choice((1, 1, 30)), 0)


def _insert(rng: random.Random, data: bytes) -> bytes:
    return _put(data, _place(rng, data), rng.choice((rng.randbytes(7), bytes(100), b"\xff" * 9, b"\n")), 0)


def _word(rng: random.Random, data: bytes) -> bytes:
    """Another word in place of one of a text."""
    words = list(re.finditer(rb"[\w.+-]+", data[: 1 << 16]))
    if not words:
        return _insert(rng, data)
    chosen = rng.choice(words)
    return _put(data, chosen.start(), rng.choice(_WORDS), len(chosen[0]))


def _lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    return b"\n".join(rng.choice((lines[:at] + lines[at + 1 :], lines[: at + 1] + lines[at:], lines[::-1])))


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_flip, _flip, _noise, _noise, _integer, _integer, _integer, _truncate, _cut, _double, _insert, _word, _lines),
)
