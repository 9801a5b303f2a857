"""A WebDataset as a source: shards (.tar) of images and their labels, read in place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from preparation.sources.archive_members import Extent, read_extent
from preparation.sources.files import FileReader, FileSource
from preparation.sources.sample_labels import SampleLabels
from preparation.sources.samples import read_samples
from preparation.sources.shards import shard_paths
from preparation.sources.source import stamps
from utils.progress import Bar

_SHARDS, _PLACES = "shards.npy", "places"
_PLACE = np.dtype([("shard", "<i8"), ("extent", "<i8", len(Extent._fields))])


class WebDatasetSource(FileSource):
    """Samples in the order of the shards and of the members in them.

    Identities that are numbers keep them as labels, and there are as many classes as the highest says, and one more;
    names are numbered in the order of their bytes. Each sample is listed as `SHARD/KEY.EXTENSION`.

    path: a folder of shards, a pattern of them or one; label: as `SampleLabels` takes it.

    Raises UserError for what `shard_paths` and `read_samples` refuse.
    """

    format = "WebDataset"

    def __init__(self, path: Path, scratch: Path, image_size: tuple[int, int], label: str | None = None) -> None:
        self._scratch, self._label = scratch, label
        self._labels = SampleLabels(label)
        self._shards = shard_paths(path)
        folder = Path(os.path.commonpath([shard.parent for shard in self._shards]))
        super().__init__(path, folder, folder, scratch, image_size)
        self.num_classes = len(self.class_names or ()) or self._labels.highest + 1
        self.reader = WebDatasetReader(folder, scratch, image_size)

    def listed(self) -> Iterator[tuple[bytes, int]]:
        """Also keeps where each of them lies, in the same order."""
        np.save(self._scratch / _SHARDS, np.array([os.fsencode(shard) for shard in self._shards]))
        place = np.zeros((), _PLACE)
        with (
            open(self._scratch / _PLACES, "wb") as places,
            Bar(total=len(self._shards), desc="Indexing", unit="shards") as bar,
        ):
            for number, shard in enumerate(self._shards):
                name = os.fsencode(shard.relative_to(self._root))
                for sample in read_samples(shard, self._labels):
                    place["shard"], place["extent"] = number, sample.extent
                    places.write(place.tobytes())
                    yield name + b"/" + sample.name, sample.label
                bar.update(1)

    def final_labels(self, labels: np.ndarray) -> np.ndarray:
        names = self._labels.names
        if not names:
            return labels
        self.class_names = sorted(names)
        label_of = {name: label for label, name in enumerate(self.class_names)}
        return np.array([label_of[name] for name in names])[labels]

    def fingerprint(self) -> dict[str, object]:
        """Of the shards' names, sizes and times of change, and of where labels are from."""
        digest = hashlib.sha256(repr(self._label).encode())
        for shard in self._shards:
            digest.update(f"{os.fsencode(shard)!r} {stamps([shard])[shard.name]}\n".encode())
        return {self.path.name: {"shards": len(self._shards), "sha256": digest.hexdigest()}}

    def beside(self) -> list[Path]:
        return [] if self.path.is_file() else super().beside()

    def is_changed_by(self, output: Path) -> bool:
        """Writing a set replaces all that is called part-..., shards too."""
        return any(shard.name.startswith("part-") and _same_folder(shard.parent, output) for shard in self._shards)


def _same_folder(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


@dataclass(frozen=True)
class WebDatasetReader(FileReader):
    """Reads members of shards by the list that is kept in `scratch`."""

    def contents(self, keys: Iterable[int]) -> Iterator[bytes | None]:
        shards = np.load(self.scratch / _SHARDS, mmap_mode="r")
        places = np.memmap(self.scratch / _PLACES, _PLACE, mode="r")
        for number, run in groupby(keys, lambda key: int(places["shard"][key])):
            extents = (Extent(*places["extent"][key].tolist()) for key in run)
            yield from _read_members(bytes(shards[number]), extents)


def _read_members(shard: bytes, extents: Iterable[Extent]) -> Iterator[bytes | None]:
    """The bytes of some members of one shard; None for each where the shard cannot be opened."""
    with ExitStack() as stack:
        file = None
        with suppress(OSError):
            file = stack.enter_context(open(shard, "rb", buffering=0))
        yield from (read_extent(file.fileno(), extent) if file else None for extent in extents)
