"""MXNet's files of named arrays (`.params`), read without mxnet, whose own reader reserves what a damaged shape says.

The file: a magic number and 0, both uint64; how many arrays, and the arrays; how many names, and the names. An array:
a magic number, the kind of its storage where the release has kinds, its shape, the device it was on, its type, and its
numbers. As `NDArray::Save` of MXNet 1.x writes them.
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from utils.reading.faults import broken_file

LIST_MAGIC = (0x112).to_bytes(8, "little")
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_TYPES = ("<f4", "<f8", "<f2", "u1", "<i4", "i1", "<i8", "?")
_MOST, _MAX_AXES, _MAX_NAME = 1 << 20, 32, 4096


def read_params(path: Path) -> dict[str, np.ndarray]:
    """The arrays by their names, such as `arg:conv0_weight`. Raises UserError if the file is none or is damaged."""
    with broken_file(path, "is not a whole file of MXNet"), path.open("rb") as file:
        reader = _Reader(file, path.stat().st_size)
        if reader.take(8) != LIST_MAGIC or reader.number("<Q") != 0:
            raise ValueError("it is no list of arrays")
        arrays = [reader.array() for _ in range(reader.count())]
        names = [reader.take(reader.number("<Q"), _MAX_NAME).decode() for _ in range(reader.count())]
        if len(set(names)) != len(arrays) or not names:
            raise ValueError("it holds no arrays with names")
        return dict(zip(names, arrays, strict=True))


class _Reader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def take(self, length: int, most: int | None = None) -> bytes:
        left = self._size - self._file.tell()
        if length > left or (most is not None and length > most):
            raise ValueError(f"it speaks of {length} bytes, and {left} are left")
        return self._file.read(length)

    def number(self, form: str) -> int:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def count(self) -> int:
        count = self.number("<Q")
        if count > _MOST:
            raise ValueError(f"it speaks of {count} arrays")
        return count

    def array(self) -> np.ndarray:
        magic = self.number("<I")
        if magic in (_V2, _V3) and self.number("<i") != 0:
            raise ValueError("it holds a sparse array")
        if magic in (_V1, _V2, _V3):
            axes, side = self.number("<i"), "<q"
        else:  # of before 1.0: the magic number is the number of axes
            axes, side = magic, "<I"
        if not 0 < axes <= _MAX_AXES:
            raise ValueError("it holds an array without a shape")
        shape = tuple(self.number(side) for _ in range(axes))
        self.take(8)  # the device
        kind = self.number("<i")
        if not 0 <= kind < len(_TYPES) or min(shape) < 0:
            raise ValueError("it holds an array of an unknown type or shape")
        dtype = np.dtype(_TYPES[kind])
        return np.frombuffer(self.take(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
