"""What the converter asks of a set of faces, whatever it is kept in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from data.images import ImageChecker, Verdict, decodes_cleanly

RecordsT = TypeVar("RecordsT", bound="Records")
RecordsIn = TypeVar("RecordsIn", bound="Records", contravariant=True)

CLASSES_NAME = "classes.txt"

# Where an image lies, in the source's own terms. The label is a float64, which is exact up to 2**53, so that a label
# that is no integer can be told as it is. PLAIN: the image's own bytes; SPLIT: a record's chunks, to be joined;
# LABELS_ONLY: two labels and no image (a set's header, an identity); DAMAGED: a payload too short for what it says it
# holds; UNREADABLE: a file that the system does not give.
ENTRY_DTYPE = np.dtype(
    [("key", "<i8"), ("offset", "<i8"), ("length", "<i4"), ("label", "<f8"), ("kind", "u1"), ("verdict", "u1")]
)
PLAIN, SPLIT, LABELS_ONLY, DAMAGED, UNREADABLE = range(5)
FAULTY_KINDS = {
    DAMAGED: "the record's header is cut short",
    UNREADABLE: (
        "the file cannot be read (it is missing, forbidden, no regular file, larger than --limit image_bytes, "
        "or damaged in its archive)"
    ),
}


class Records(Protocol):
    """What can be cut into slices of its own kind, as a range can."""

    def __len__(self) -> int: ...

    def __getitem__(self: RecordsT, some: slice, /) -> RecordsT: ...


class Reader(Protocol[RecordsIn]):
    """The part of a source that works in other processes: small, and can be pickled."""

    def judge(self, records: RecordsIn, verify: bool) -> np.ndarray:
        """Judge a slice of the source's `records()`; verify: decode every image, not only its header.

        Returns:
            (len(records),) of `ENTRY_DTYPE`, in the order of `records`.

        Raises:
            UserError: the source is damaged.
        """

    def read(self, entries: np.ndarray) -> Iterator[bytes]:
        """The bytes of each image of `entries`. Raises UserError where they are not there any more."""


class Source(Protocol[RecordsT]):
    """A set of faces, whose records come as `RecordsT`.

    Attributes:
        format: what it is, for the manifest.
        path: the file or folder that messages name.
        num_classes: labels are integers in [0, num_classes).
        image_size: height and width in pixels that its images should have; others are left out.
        class_names: the identities' names by label, where the source has numbered them; else None.
        reader: judges and reads its images, in any process.
    """

    format: str
    path: Path
    num_classes: int
    image_size: tuple[int, int]

    @property
    def class_names(self) -> list[bytes] | None: ...

    @property
    def reader(self) -> Reader[RecordsT]: ...

    def records(self) -> RecordsT:
        """All records, to be cut into slices and judged. Raises UserError for a set that is not whole."""

    def images(self, entries: np.ndarray) -> np.ndarray:
        """The images among all judged `entries`, by key, with exact labels. Raises UserError for a contradiction."""

    def name(self, key: int) -> int | str:
        """What a person would call the record `key`."""

    def fingerprint(self) -> Mapping[str, object]:
        """Differs where the set does: names, sizes, times of change."""

    def beside(self) -> list[Path]:
        """Files that go along with the set: `property`, names of identities, verification sets."""

    def is_changed_by(self, output: Path) -> bool:
        """Whether a set written into the folder `output` would be taken for a part of this one, or replace it."""


def judge_image(checker: ImageChecker, data: bytes, start: int, end: int, verify: bool) -> Verdict:
    """The verdict on the image `data[start:end]`; verify: decode it, too."""
    verdict = checker.check(data, start, end)
    if verify and verdict < Verdict.EMPTY and not decodes_cleanly(data[start:end]):
        return Verdict.BROKEN
    return verdict


def stamps(paths: Sequence[Path]) -> dict[str, dict[str, int]]:
    """{name: its size and its time of change}. Raises OSError."""
    stats = [(path.name, path.stat()) for path in paths]
    return {name: {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns} for name, stat in stats}


def companions(folder: Path) -> list[Path]:
    """The files in a set's folder that go along with it."""
    named = [folder / "property", folder / CLASSES_NAME]
    return [path for path in [*named, *sorted(folder.glob("*.bin"))] if path.is_file()]


def class_lines(names: Iterable[bytes]) -> bytes:
    """The content of `classes.txt`: line k (from 0) is the name of the identity with the label k.

    Bytes are kept as they are, but for a backslash, a newline and a carriage return: `\\\\`, `\\n` and `\\r`.
    """
    escaped = (name.replace(b"\\", rb"\\").replace(b"\n", rb"\n").replace(b"\r", rb"\r") for name in names)
    return b"".join(line + b"\n" for line in escaped)
