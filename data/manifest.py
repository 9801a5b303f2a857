"""`dataset.json`: what a folder of OFRecord parts holds, and the checks that a run makes before its first step."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from data.ofrecord import INDEX_DTYPE, index_path
from data.storage import write_file
from utils.errors import UserError
from utils.pixels import SIDES, USUAL_SIZE
from utils.reading.array_file import map_array
from utils.reading.json_file import is_count, is_positive, is_text, read_object

MANIFEST_NAME = "dataset.json"
SUCCESS_NAME = "_SUCCESS"  # empty, written last: the set is whole
REMAINDER = (
    "The first num_records % parts parts hold one record more than the others; the loader deals records, not parts, to "
    "the ranks, so an epoch visits each record exactly once and drops less than one global batch at its end."
)
_VERSION = 1
_MAX_CLASSES = 1 << 31  # labels are int32
# A set may have classes without images, but what is made for each of them must not depend on a damaged digit alone.
_SPARE_CLASSES, _CLASSES_PER_RECORD = 1 << 25, 1000
_HOW_TO_MAKE = "make it with tools/prepare_dataset.py, or with tools/index_ofrecord.py for parts of other tools"


@dataclass(frozen=True)
class Part:
    """One part file: its name, its records, its size in bytes and the CRC-32 of its bytes."""

    name: str
    records: int
    bytes: int
    crc32: int


@dataclass(frozen=True)
class Manifest:
    """What a dataset folder holds. `source` says what it was made from, `repaired` and `skipped` count records.

    image_size: height and width in pixels of all its images; a file that states none means 112x112.
    """

    num_records: int
    num_classes: int
    parts: list[Part]
    image_size: tuple[int, int] = USUAL_SIZE
    shuffle: bool = False
    seed: int | None = None
    remainder: str = REMAINDER
    repaired: int = 0
    skipped: int = 0
    source: dict[str, object] = field(default_factory=dict)
    version: int = _VERSION

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Manifest:
        """Read `folder/dataset.json`.

        Raises:
            UserError: it is missing, unreadable or damaged.
        """
        path = Path(folder) / MANIFEST_NAME
        try:
            content = read_object(path, "is damaged", f"{_HOW_TO_MAKE}.")
        except FileNotFoundError:
            raise UserError(f"{path} is missing: {_HOW_TO_MAKE}.") from None
        try:
            content["parts"] = [Part(**part) for part in content["parts"]]
            content["image_size"] = tuple(content.get("image_size", USUAL_SIZE))
            manifest = cls(**content)
            manifest._check_values()
        except (TypeError, KeyError, ValueError):
            raise UserError(f"{path} is damaged (not a dataset's manifest): {_HOW_TO_MAKE}.") from None
        return manifest

    def digest(self) -> str:
        """Of the records and their order: equal for copies of a set, another for any other set."""
        parts = [(part.records, part.bytes, part.crc32) for part in self.parts]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Write `folder/dataset.json`, atomically; equal manifests give equal bytes."""
        write_file(folder / MANIFEST_NAME, (json.dumps(asdict(self), indent=1) + "\n").encode())

    def check(
        self,
        folder: str | os.PathLike,
        num_ranks: int | None = None,
        num_classes: int | None = None,
        num_image: int | None = None,
    ) -> None:
        """Check the folder's files against the manifest, and the manifest against the run. Reads the sidecars only.

        Args:
            folder: where the parts lie.
            num_ranks: ranks of the run; each needs a part.
            num_classes, num_image: what the config says; None where it leaves them to the dataset.

        Raises:
            UserError: the first thing that would fail during the training.
        """
        if num_classes is not None and num_classes != self.num_classes:
            raise UserError(
                f"The config says num_classes = {num_classes} but the dataset in {folder} has {self.num_classes}."
            )
        if num_image is not None and num_image != self.num_records:
            raise UserError(
                f"The config says num_image = {num_image} but the dataset in {folder} has {self.num_records} images."
            )
        if num_ranks is not None and num_ranks > len(self.parts):
            raise UserError(
                f"The dataset in {folder} has {len(self.parts)} part(s) but the run has {num_ranks} ranks; "
                f"convert it again with --num_part {num_ranks} or more."
            )
        for part in self.parts:
            _check_part(Path(folder) / part.name, part, self.num_classes)

    def _check_values(self) -> None:
        """Raise ValueError for a manifest that cannot be true."""
        numbers = [self.num_records, self.num_classes, *(n for p in self.parts for n in (p.records, p.bytes))]
        names = [part.name for part in self.parts]
        possible = (
            self.version == _VERSION
            and all(map(is_positive, numbers))
            and all(is_text(name) and name and name == os.path.basename(name) for name in names)
            and len(set(names)) == len(names)
            and all(is_count(part.crc32) and part.crc32 < 1 << 32 for part in self.parts)
            and self.num_classes <= min(_MAX_CLASSES, _SPARE_CLASSES + _CLASSES_PER_RECORD * self.num_records)
            and sum(part.records for part in self.parts) == self.num_records
            and len(self.image_size) == 2
            and all(type(side) is int and side in SIDES for side in self.image_size)
        )
        if not possible:
            raise ValueError("impossible values")


def read_index(path: Path) -> np.ndarray:
    """Memory-map a sidecar: (records,) of `INDEX_DTYPE`.

    Raises:
        UserError: it is missing or not such an array.
    """
    try:
        index = map_array(path, "is damaged", "make it again with tools/index_ofrecord.py.")
    except FileNotFoundError:
        raise UserError(f"{path} is missing: make it with tools/index_ofrecord.py.") from None
    if index.dtype != INDEX_DTYPE or index.ndim != 1:
        raise UserError(f"{path} is not an index of records: make it again with tools/index_ofrecord.py.")
    return index


def _check_part(path: Path, part: Part, num_classes: int) -> None:
    """Check one part's size and its sidecar; vectorized, 16 bytes read per record."""
    try:
        size = os.stat(path).st_size
    except OSError:
        raise UserError(f"{path} is missing; convert the set again.") from None
    if size != part.bytes:
        raise UserError(f"{path} has {size} bytes but dataset.json says {part.bytes}; copy or convert it again.")
    sidecar = index_path(path)
    index = read_index(sidecar)
    if len(index) != part.records:
        raise UserError(f"{sidecar} lists {len(index)} records but dataset.json says {part.records}.")
    offsets, lengths, labels = index["offset"], index["length"], index["label"]
    ends = offsets + lengths
    if (
        lengths.min() < 1
        or offsets.max() > part.bytes
        or offsets[0] < 8
        or (offsets[1:] < ends[:-1]).any()
        or ends[-1] > part.bytes
    ):
        raise UserError(f"{sidecar} does not fit {path.name}: make it again with tools/index_ofrecord.py.")
    if labels.min() < 0 or labels.max() >= num_classes:
        bad = labels.min() if labels.min() < 0 else labels.max()
        raise UserError(f"{sidecar} has the label {bad}, but labels must lie in [0, {num_classes - 1}].")
