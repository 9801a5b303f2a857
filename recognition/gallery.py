"""Known people on disk: `gallery.npz`, the embeddings of their images, their names, and the model these are made by.

In the file are `embeddings` (N, E) float32, unit rows, a person's one after another; `starts` (P + 1,) int64, so that
person p has rows starts[p] ... starts[p + 1] - 1; `names` (of P people) and `sources` (of N images) as UTF-8 in one
run of bytes, with `*_ends` saying where each ends; and `about`, JSON. Nothing is compressed, so that embeddings are
read by the pages that are looked at, whatever their number.

All images of a person are kept, and the one most alike counts: unlike a mean, that needs neither many nor similar ones.
"""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from utils.errors import UserError
from utils.files import new_file
from utils.reading.array_file import all_rows, check_members, map_arrays
from utils.reading.faults import broken_file
from utils.reading.json_file import parse_object

_ROUNDING = 1e-2  # of a squared length
_PARTS = ("embeddings", "starts", "names", "names_ends", "sources", "sources_ends", "about")


class Strings(Protocol):
    """Numbered strings, in a list or as `Texts`."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> str: ...

    def __iter__(self) -> Iterator[str]: ...


class Texts:
    """Strings as bytes in UTF-8 and their ends, so that a million of them are two arrays."""

    def __init__(self, content: np.ndarray, ends: np.ndarray) -> None:
        self.content, self.ends = content, ends

    @classmethod
    def of(cls, strings: Strings) -> "Texts":
        encoded = [string.encode() for string in strings]
        ends = np.cumsum([len(string) for string in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def whole(self) -> bool:
        """Whether the arrays are such, and all of it can be decoded."""
        kinds = [(array.dtype, array.ndim) for array in (self.content, self.ends)]
        if kinds != [(np.uint8, 1), (np.int64, 1)] or not len(self.ends):
            return False
        first, last = self.ends[0], self.ends[-1]
        if first < 0 or last != len(self.content) or (np.diff(self.ends) < 0).any():
            return False
        starts = np.append(0, self.ends[:-1])
        starts = starts[starts < last]
        try:
            bytes(self.content).decode()
        except UnicodeDecodeError:
            return False
        return bool((self.content[starts] & 0xC0 != 0x80).all())  # none begins inside a character

    def __getitem__(self, number: int) -> str:
        start = self.ends[number - 1] if number else 0
        return bytes(self.content[start : self.ends[number]]).decode()

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


@dataclass(frozen=True)
class Gallery:
    """People and the embeddings of their images, as described above."""

    embeddings: np.ndarray  # (N, E) float32, unit rows
    starts: np.ndarray  # (P + 1,) int64
    names: Strings  # (P,)
    sources: Strings  # (N,) where an image came from
    about: dict  # "model", "digest" of the model, "detector", ...

    @classmethod
    def build(cls, embeddings: np.ndarray, names: Sequence[str], sources: Sequence[str], about: dict) -> "Gallery":
        """embeddings: (N, E) unit rows of images; names, sources: (N,) who is on each, and where it came from."""
        people: dict[str, list[int]] = {}
        for image, name in enumerate(names):
            people.setdefault(name, []).append(image)
        order = [image for images in people.values() for image in images]
        starts = np.cumsum([0, *map(len, people.values())], dtype=np.int64)
        ordered = Texts.of([sources[image] for image in order])
        return cls(np.ascontiguousarray(embeddings[order], np.float32), starts, Texts.of(list(people)), ordered, about)

    def person_of(self, image: int) -> int:
        """The number of the person on an image."""
        return int(np.searchsorted(self.starts, image, side="right")) - 1

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all. Raises UserError where it cannot be written."""
        texts = {"names": self.names, "sources": self.sources}
        arrays = {name: array for key, text in texts.items() for name, array in _arrays(key, text).items()}
        about = np.frombuffer(json.dumps(self.about, ensure_ascii=False).encode(), np.uint8)
        # The embeddings first: their numbers then begin at a multiple of 64 bytes, as BLAS wants them.
        members = {"embeddings": self.embeddings, "starts": self.starts, "about": about, **arrays}
        try:
            with new_file(path) as unfinished:
                _write_npz(unfinished, members)
        except OSError as error:
            raise UserError(f"the gallery cannot be written to {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: Path) -> "Gallery":
        """Opens the file, and compares it with its checksums; the embeddings are then mapped into memory, not held.

        Raises UserError where it is missing, damaged, or no gallery.
        """
        if not path.is_file():
            raise UserError(f"there is no gallery at {path}; make one with `tools/recognize.py index`")
        fault, remedy = "is not a gallery, or is damaged", "make it with `index` again"
        parts = map_arrays(path, _PARTS, fault, remedy)
        check_members(path, _PARTS, fault, remedy)
        with broken_file(path, fault, remedy):
            about = parse_object(parts["about"].tobytes())
        embeddings, starts = parts["embeddings"], parts["starts"]
        names, sources = (Texts(parts[key], parts[f"{key}_ends"]) for key in ("names", "sources"))
        if (
            (embeddings.dtype, embeddings.ndim) != (np.float32, 2)
            or (starts.dtype, starts.ndim) != (np.int64, 1)
            or not (names.whole() and sources.whole())
            or len(starts) != len(names) + 1
            or not starts[0] == 0 < len(embeddings) == len(sources) == starts[-1]
            or (np.diff(starts) < 1).any()
        ):
            raise UserError(f"{path} is damaged: its parts do not fit; {remedy}")
        if not all_rows(embeddings, _are_unit):
            raise UserError(f"{path} is damaged: not all of its embeddings are of length 1; {remedy}")
        return cls(embeddings, starts, names, sources, about)


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """As np.savez, which on a full disk leaves its archive open: that fails once more later, with a traceback."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _are_unit(rows: np.ndarray) -> np.ndarray:
    return np.abs(np.einsum("ij,ij->i", rows, rows) - 1) < _ROUNDING  # not where one is not finite


def _arrays(key: str, strings: Strings) -> dict[str, np.ndarray]:
    texts = strings if isinstance(strings, Texts) else Texts.of(strings)
    return {key: texts.content, f"{key}_ends": texts.ends}
