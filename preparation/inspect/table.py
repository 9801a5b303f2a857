"""What an inspection knows of every record of a set: a table in a file, memory-mapped."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from data.manifest import Manifest
from preparation.inspect.duplicates import thumbnail
from preparation.inspect.part import RECORD_DTYPE
from utils.errors import UserError
from utils.reading.images import decode


class RecordTable:
    """32 bytes a record, in a file, so that workers fill it in: `rows` (N,) of `RECORD_DTYPE`, in the order of parts.

    path: of the table, a new file; folder and manifest: of the set. Raises OSError where there is no room for it.
    """

    def __init__(self, path: Path, folder: Path, manifest: Manifest) -> None:
        self.path, self.folder = path, folder
        self.parts, self.image_size = manifest.parts, manifest.image_size
        self.starts = np.cumsum([0, *(part.records for part in manifest.parts)])
        self.rows = np.lib.format.open_memmap(path, "w+", RECORD_DTYPE, (manifest.num_records,))
        with open(path, "r+b") as file:  # a disk that is full is then an error here, and no signal later
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        self.rows["label"] = -1

    def place(self, record: int) -> tuple[str, int]:
        """The part that holds a record, and the record's number in it."""
        part = int(np.searchsorted(self.starts, record, side="right")) - 1
        return self.parts[part].name, record - int(self.starts[part])

    def image(self, record: int) -> bytes:
        """A usable record's JPEG."""
        with open(self.folder / self.place(record)[0], "rb", buffering=0) as file:
            file.seek(int(self.rows["offset"][record]))
            return file.read(int(self.rows["length"][record]))

    def thumbnail(self, record: int) -> np.ndarray:
        """As `duplicates.thumbnail`, of a record whose picture is known to decode. Raises UserError if it does not."""
        pixels = thumbnail(self.image(record))
        if pixels is None:
            raise UserError(
                f"{self.folder / self.place(record)[0]} changed during its inspection; run the command again."
            )
        return pixels

    def picture(self, record: int) -> np.ndarray:
        """(*image_size, 3) uint8 BGR of a usable record; black where only the header was good."""
        pixels = decode(self.image(record), cv2.IMREAD_COLOR)
        return np.zeros((*self.image_size, 3), np.uint8) if pixels is None else pixels
