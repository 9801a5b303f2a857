"""Arrays of NumPy on disk, mapped into memory once their headers are found to fit the file."""

from __future__ import annotations

import ast
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from utils.files import refuse_pipe
from utils.reading.faults import broken_file
from utils.reading.stream import BoundedStream

_MAGIC, _MAX_HEADER, _MAX_AXES = b"\x93NUMPY", 4096, 8
# What headers of plain arrays consist of; neither operators nor calls, so that parsing one is always quick.
_HEADER = re.compile(r"[\w\s'<>|=,:()\[\]{}]*", re.ASCII)
_KINDS = "biuf"
_LOCAL_HEADER = 30  # bytes of a zip member's before its name
_CHUNK = 1 << 24  # bytes

Mode = Literal["r", "r+", "c"]  # as `np.memmap` takes it


def map_array(path: Path, fault: str, remedy: str = "", mode: Mode = "r") -> np.ndarray:
    """The array of a .npy file, of numbers or of records of numbers; its size was compared with the file's.

    mode: as `np.memmap` takes it. Raises UserError, saying that the path has the `fault`, and FileNotFoundError.
    """
    refuse_pipe(path)
    with broken_file(path, fault, remedy), path.open("rb") as file:
        return _map(path, file, 0, path.stat().st_size, mode)


def map_arrays(path: Path, names: Collection[str], fault: str, remedy: str = "") -> dict[str, np.ndarray]:
    """The arrays of these names in a .npz file whose members are not compressed, all mapped; nothing is read.

    Raises UserError, saying that the path has the `fault`, and FileNotFoundError.
    """
    refuse_pipe(path)
    with broken_file(path, fault, remedy), path.open("rb") as file:
        return {name: _map(path, file, *_member(file, f"{name}.npy"), mode="r") for name in names}


def check_members(path: Path, names: Collection[str], fault: str, remedy: str = "") -> None:
    """Compares the named arrays of a .npz file, as `map_arrays` takes it, with their checksums. Raises as it does."""
    with broken_file(path, fault, remedy), path.open("rb") as file:
        for name in names:
            begin, end = _member(file, f"{name}.npy")
            with zipfile.ZipFile(BoundedStream(file, has_index=True)) as archive:
                wanted = archive.getinfo(f"{name}.npy").CRC
            file.seek(begin)
            if crc32_of(file, end - begin) != wanted:
                raise ValueError(f"the checksum of {name} is another one")


def crc32_of(file: BinaryIO, length: int) -> int:
    """CRC-32 of the next `length` bytes of a file, or of those that are left of it."""
    checksum = 0
    while length > 0 and (chunk := file.read(min(length, _CHUNK))):
        checksum = zlib.crc32(chunk, checksum)
        length -= len(chunk)
    return checksum


def all_rows(rows: np.ndarray, rule: Callable[[np.ndarray], np.ndarray]) -> bool:
    """Whether `rule`, an array -> an array of bool, holds for all of an array that may be larger than the memory."""
    step = max(1, _CHUNK // max(1, rows[:1].nbytes))
    return all(bool(rule(rows[start : start + step]).all()) for start in range(0, len(rows), step))


def _member(file: BinaryIO, name: str) -> tuple[int, int]:
    """Where the content of a zip's member begins and ends. Raises ValueError if it is compressed or not there."""
    with zipfile.ZipFile(BoundedStream(file, has_index=True)) as archive:
        if name not in archive.namelist():
            raise ValueError(f"it has no {name}")
        entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise ValueError(f"its {name} is compressed")
    file.seek(entry.header_offset)
    local = file.read(_LOCAL_HEADER)
    begin = entry.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", local[-4:]))
    return begin, begin + entry.file_size


def _map(path: Path, file: BinaryIO, begin: int, end: int, mode: Mode) -> np.ndarray:
    """The array whose .npy bytes are [begin, end) of a file. Raises ValueError if they are none."""
    dtype, shape, order, length = _header(file, begin)
    size = dtype.itemsize * math.prod(shape)
    if begin + length + size != end or end > path.stat().st_size:
        raise ValueError(f"its header speaks of {size} bytes of numbers and it has {end - begin - length}")
    if not size:
        return np.empty(shape, dtype, order)
    return np.memmap(path, dtype, mode, begin + length, shape, order)


def _header(file: BinaryIO, begin: int) -> tuple[np.dtype, tuple[int, ...], Literal["F", "C"], int]:
    """Type, shape and order of an array, and the length of its header. Raises ValueError if it is none."""
    file.seek(begin)
    start = file.read(12)
    if not start.startswith(_MAGIC) or start[6:8] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("it is no .npy file")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > _MAX_HEADER:
        raise ValueError(f"it has a header of {length} bytes")
    file.seek(begin + 8 + width)
    text = file.read(length).decode("latin-1")
    if len(text) < length or not _HEADER.fullmatch(text):
        raise ValueError("its header is damaged")
    fields = ast.literal_eval(text.strip())
    if not isinstance(fields, dict) or fields.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError("its header is damaged")
    shape, fortran = fields["shape"], fields["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(side) is int and 0 <= side < 1 << 48 for side in shape):
        raise ValueError("its shape is impossible")
    if len(shape) > _MAX_AXES or type(fortran) is not bool:
        raise ValueError("its header is damaged")
    return _dtype(fields["descr"]), shape, "F" if fortran else "C", 8 + width + length


def _dtype(described: object) -> np.dtype:
    """A type of numbers, or of records of numbers one after the other."""
    parts = [("", described)] if isinstance(described, str) else described
    if not isinstance(parts, list) or not 0 < len(parts) <= 64:
        raise ValueError("its type is none of numbers")
    for part in parts:
        if not isinstance(part, tuple) or len(part) != 2 or not all(isinstance(word, str) for word in part):
            raise ValueError("its type is none of numbers")
        if np.dtype(part[1]).kind not in _KINDS:
            raise ValueError(f"its numbers are of type {np.dtype(part[1])}")
    return np.dtype(described if isinstance(described, str) else parts)
