"""The records of finished OFRecord sets, read by their numbers: what selecting, merging and inspecting stand on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.manifest import Manifest, read_index
from data.ofrecord import index_path
from utils.errors import UserError
from utils.pixels import size_words

_AT_ONCE = 4096  # records whose images are in memory together


class RecordSets:
    """The records of one or more sets, one set after another, numbered from 0 through all their parts.

    folders: of the sets; manifests: theirs; parts: the paths of all parts; starts: (parts + 1,) int64, each part's
    first record; image_size: height and width of all images. Nothing is kept open.

    Raises UserError for what `Manifest.check` finds, and for sets of different sizes of images.
    """

    def __init__(self, *folders: Path) -> None:
        self.folders = folders
        self.manifests = [Manifest.load(folder) for folder in folders]
        for folder, manifest in zip(folders, self.manifests, strict=True):
            manifest.check(folder)
        self.image_size = self.manifests[0].image_size
        for folder, manifest in zip(folders, self.manifests, strict=True):
            if manifest.image_size != self.image_size:
                raise UserError(
                    f"{folder} holds {size_words(manifest.image_size)} images and {folders[0]} "
                    f"{size_words(self.image_size)}; the images of a set have one size."
                )
        parts = [
            (folder / part.name, part.records)
            for folder, manifest in zip(folders, self.manifests, strict=True)
            for part in manifest.parts
        ]
        self.parts = [path for path, _ in parts]
        self.starts = np.cumsum([0, *(records for _, records in parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def column(self, name: str) -> np.ndarray:
        """`"label"` or `"length"` (bytes of the JPEG) of every record, (N,) int32."""
        column = np.empty(len(self), np.int32)
        for path, start, stop in zip(self.parts, self.starts[:-1], self.starts[1:], strict=True):
            column[start:stop] = read_index(index_path(path))[name]
        return column

    def place(self, record: int) -> tuple[Path, int]:
        """The part that holds a record, and the record's number in it, from 0."""
        part = int(np.searchsorted(self.starts, record, side="right")) - 1
        return self.parts[part], record - int(self.starts[part])

    def images(self, records: np.ndarray) -> Iterator[bytes]:
        """The JPEGs of `records`, (n,) numbers in any order; holds 4096 of them at a time, and one file open.

        Raises UserError where a part became shorter.
        """
        for first in range(0, len(records), _AT_ONCE):
            batch = records[first : first + _AT_ONCE]
            images: list[bytes] = [b""] * len(batch)
            parts = np.searchsorted(self.starts, batch, side="right") - 1
            for part in np.unique(parts).tolist():
                rows = np.flatnonzero(parts == part)
                path = self.parts[part]
                entries = read_index(index_path(path))[batch[rows] - self.starts[part]]
                with open(path, "rb", buffering=0) as file:
                    for row, (offset, length, _) in zip(rows.tolist(), entries.tolist(), strict=True):
                        images[row] = os.pread(file.fileno(), length, offset)
                        if len(images[row]) < length:
                            raise UserError(f"{path} became shorter while it was read; run the command again.")
            yield from images
