"""A file for parsers that believe the sizes they find."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from utils.reading.limits import limits

_AFTER_INDEX = 1 << 17  # bytes, the most that stands behind a zip's list of members
_SPARE = 64 << 20  # bytes that a parser may read twice


class BoundedStream(io.RawIOBase):
    """`file` for one that reads its structure, as `tarfile` and `zipfile` do, and none of its content.

    has_index: its end lists its members, as a zip's does, and that is read at once.

    Raises ValueError for another read of more than the limits in force allow a header, and once more was read than a
    parser that goes forward needs: a loop over the same bytes then ends.
    """

    def __init__(self, file: BinaryIO, has_index: bool = False) -> None:
        self._file, self._has_index = file, has_index
        self._size = os.fstat(file.fileno()).st_size
        self._left = 2 * self._size + _SPARE

    def read(self, length: int = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        wanted = left if length is None or length < 0 else length
        is_index = self._has_index and wanted <= min(left, limits().index_bytes) and left - wanted < _AFTER_INDEX
        if wanted > limits().header_bytes and not is_index:
            raise ValueError(f"a header of it has {wanted} bytes (--limit header_bytes)")
        content = self._file.read(wanted)
        self._left -= max(len(content), 1)
        if self._left < 0:
            raise ValueError("it leads back into itself")
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True
