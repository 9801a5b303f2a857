"""Writes MXNet recordio, byte for byte as mxnet's own `MXIndexedRecordIO` does. Format: `sources/recordio_file.py`."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from preparation.sources.recordio_file import CHUNK, HEADER, MAGIC, MAGIC_BYTES


class RecordWriter:
    """Writes `rec` and `idx`, record by record. A context manager: what it has written is on the disk when it is left.

    Raises OSError.
    """

    def __init__(self, rec: Path, idx: Path) -> None:
        self._rec = open(rec, "wb")  # noqa: SIM115 (both are closed in __exit__)
        self._idx = open(idx, "w")  # noqa: SIM115
        self._at = 0

    def __enter__(self) -> RecordWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._rec, self._idx):
            with file:
                file.flush()
                os.fsync(file.fileno())

    def add(self, key: int, label: float | Sequence[float], image: bytes = b"") -> None:
        """Append a record: an image with its label, or several labels (a header's or an identity's)."""
        if isinstance(label, Sequence):
            payload = HEADER.pack(len(label), 0.0, key, 0) + struct.pack(f"<{len(label)}f", *label) + image
        else:
            payload = HEADER.pack(0, label, key, 0) + image
        self._idx.write(f"{key}\t{self._at}\n")
        for cflag, piece in _chunks(payload):
            chunk = CHUNK.pack(MAGIC, cflag << 29 | len(piece)) + piece + bytes(-len(piece) % 4)
            self._rec.write(chunk)
            self._at += len(chunk)


def _chunks(payload: bytes) -> list[tuple[int, bytes]]:
    """The payload cut at, and without, each magic at a multiple of 4 bytes: a reader finds magic at starts only.

    Returns:
        (cflag, piece): 0 for a whole payload, else 1, 2, ..., 3.
    """
    pieces, start, at = [], 0, payload.find(MAGIC_BYTES)
    while at >= 0:
        if at % 4 == 0:
            pieces.append(payload[start:at])
            start = at + 4
        at = payload.find(MAGIC_BYTES, max(start, at + 1))
    pieces.append(payload[start:])
    if len(pieces) == 1:
        return [(0, payload)]
    return list(zip([1, *[2] * (len(pieces) - 2), 3], pieces, strict=True))
