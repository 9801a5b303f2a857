"""Images in files of their own: what a folder of people and a list have in common as sources."""

from __future__ import annotations

import hashlib
import os
import stat
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.images import ImageChecker, Verdict
from preparation.sources.source import ENTRY_DTYPE, UNREADABLE, companions, judge_image
from utils.errors import UserError
from utils.reading.limits import limits

_NAMES, _ENDS, _LABELS = "names", "ends.npy", "labels.npy"


class FileSource(ABC):
    """Files that are listed in some order; the place in it is the key, from 0.

    The list is kept in a folder: 42 million paths as Python objects would take 5 GB in every process.

    path: named in messages; root: names of files are relative to it; folder: its `companions` go along; scratch: a
    folder for the list, which has to last as long as the source; image_size: that the images should have.
    """

    format: str
    num_classes: int
    class_names: list[bytes] | None = None

    def __init__(self, path: Path, root: Path, folder: Path, scratch: Path, image_size: tuple[int, int]) -> None:
        self.path, self._root, self._folder, self.image_size = path, root, folder, image_size
        self.reader = FileReader(root, scratch, image_size)
        try:
            self._count = self._keep_list(scratch)
        except OSError as error:
            raise UserError(
                f"The list of images cannot be kept in {scratch}: {error.strerror or error}; TMPDIR names another "
                "folder."
            ) from None
        if not self._count:
            raise UserError(f"{path} holds no image.")

    @abstractmethod
    def listed(self) -> Iterator[tuple[bytes, int]]:
        """The name of each file, as the system spells it, and its label."""

    def _keep_list(self, scratch: Path) -> int:
        """Write what is listed where the reader looks for it; how many files there are."""
        ends, labels = array("q", [0]), array("q")
        with open(scratch / _NAMES, "wb") as names:
            for name, label in self.listed():
                names.write(name)
                ends.append(ends[-1] + len(name))
                labels.append(label)
        np.save(scratch / _ENDS, np.array(ends))
        np.save(scratch / _LABELS, self.final_labels(np.array(labels)))
        return len(labels)

    def final_labels(self, labels: np.ndarray) -> np.ndarray:
        """What the labels of all that is listed, (N,) int64, become once the last one is known."""
        return labels

    def records(self) -> range:
        return range(self._count)

    def images(self, entries: np.ndarray) -> np.ndarray:
        for key in entries["key"][entries["kind"] == UNREADABLE].tolist():
            if next(iter(self.reader.contents([key]))) is not None:
                raise UserError(
                    f"{self.name(key)} can be read here but not by every worker: all must see {self._root} there."
                )
        return entries

    def name(self, key: int) -> str:
        return os.fsdecode(next(self.reader.names([key])))

    def fingerprint(self) -> Mapping[str, object]:
        """Of all names, labels, sizes and times of change."""
        digest, count = hashlib.sha256(), 0
        for name, label in self.listed():
            try:
                about = os.stat(_join(self._root, name))
                state = f"{about.st_size} {about.st_mtime_ns}"
            except (OSError, ValueError):
                state = "unreadable"
            digest.update(b"%d %d %s\0%s\0" % (len(name), label, state.encode(), name))
            count += 1
        return {self.path.name: {"files": count, "sha256": digest.hexdigest()}}

    def beside(self) -> list[Path]:
        return companions(self._folder)


@dataclass(frozen=True)
class FileReader:
    """Reads files by their places in the list that is kept in `scratch`."""

    root: Path
    scratch: Path
    image_size: tuple[int, int]

    def names(self, keys: Iterable[int]) -> Iterator[bytes]:
        """The names of some files."""
        ends = np.load(self.scratch / _ENDS, mmap_mode="r")
        with open(self.scratch / _NAMES, "rb", buffering=0) as names:
            for key in keys:
                begin, end = int(ends[key]), int(ends[key + 1])
                yield os.pread(names.fileno(), end - begin, begin)

    def judge(self, records: range, verify: bool) -> np.ndarray:
        checker = ImageChecker(self.image_size)
        entries = np.zeros(len(records), ENTRY_DTYPE)
        entries["key"] = records
        entries["label"] = np.load(self.scratch / _LABELS, mmap_mode="r")[records.start : records.stop]
        for entry, image in zip(entries, self.contents(records), strict=True):
            if image is None:
                entry["kind"], entry["verdict"] = UNREADABLE, Verdict.EMPTY
            else:
                entry["length"] = len(image)
                entry["verdict"] = judge_image(checker, image, 0, len(image), verify)
        return entries

    def read(self, entries: np.ndarray) -> Iterator[bytes]:
        keys, lengths = (entries[name].tolist() for name in ("key", "length"))
        for key, length, image in zip(keys, lengths, self.contents(keys), strict=True):
            if image is None or len(image) != length:
                path = os.fsdecode(_join(self.root, next(self.names([key]))))
                raise UserError(f"{path} changed during its conversion; run the command again.")
            yield image

    def contents(self, keys: Iterable[int]) -> Iterator[bytes | None]:
        """The bytes of some files; None where the system does not give them."""
        return (read_regular(_join(self.root, name)) for name in self.names(keys))


def _join(root: Path, name: bytes) -> bytes:
    return os.path.join(os.fsencode(root), name)


def read_regular(path: bytes) -> bytes | None:
    """A file's bytes; None where there is no such regular file, or a huge one. Never waits for a pipe's writer."""
    try:
        with open(path, "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
            about = os.fstat(file.fileno())
            return file.read() if stat.S_ISREG(about.st_mode) and about.st_size <= limits().image_bytes else None
    except (OSError, ValueError):  # ValueError: a zero byte in a list's name
        return None
