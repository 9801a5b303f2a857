"""The little of protobuf's wire format that an OFRecord message needs.

OneFlow's own classes (record_pb2) would copy every image, and do not say where in a file it lies. Readers raise
ValueError for bytes that are no such message; the words follow "record N".
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

Bytes = bytes | mmap.mmap  # whose slices are bytes

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def varint(value: int) -> bytes:
    """A non-negative integer, 7 bits a byte, the lowest first."""
    if value < 0x80:
        return bytes((value,))
    digits = bytearray()
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _read_varint(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """An unsigned integer of up to 64 bits and where it ends."""
    value = shift = 0
    while at < end and shift < 70:
        digit = data[at]
        at += 1
        value |= (digit & 0x7F) << shift
        if digit < 0x80:
            return value, at
        shift += 7
    raise ValueError("is not an OFRecord message")


def _fields(data: Bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, wire type, start, end) of each field; the bytes of a value, without its length."""
    while at < end:
        tag, at = _read_varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _BYTES:
            length, start = _read_varint(data, at, end)
            stop = start + length
        elif wire == _VARINT:
            start, (_, stop) = at, _read_varint(data, at, end)
        elif wire in (_FIXED64, _FIXED32):
            start, stop = at, at + (8 if wire == _FIXED64 else 4)
        else:
            raise ValueError("is not an OFRecord message")
        if stop > end or not number:
            raise ValueError("is not an OFRecord message")
        yield number, wire, start, stop
        at = stop


def submessages(data: Bytes, start: int, end: int, only: int | None = None) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, start, end) of the length-delimited fields, or of those numbered `only`."""
    for number, wire, a, b in _fields(data, start, end):
        if wire == _BYTES and only in (None, number):
            yield number, a, b


def integers(data: Bytes, start: int, end: int) -> Iterator[int]:
    """The values of an Int32List or Int64List, packed or not."""
    for number, wire, a, b in _fields(data, start, end):
        if number == 1 and wire in (_VARINT, _BYTES):
            while a < b:
                value, a = _read_varint(data, a, b)
                yield value - (1 << 64) if value >> 63 else value
