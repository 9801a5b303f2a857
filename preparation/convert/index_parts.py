"""Sidecars and manifest for OFRecord parts that another tool wrote (arcface_oneflow's, for instance)."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from data.manifest import MANIFEST_NAME, Manifest, Part
from data.ofrecord import file_crc32, scan_part, write_index
from data.storage import TEMPORARY_SUFFIX
from preparation.sources.recordio_file import read_property
from preparation.workers import worker_pool
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, size_words
from utils.progress import Bar

_PART_NAME = re.compile(r"part-(\d+)")


def index_parts(
    folder: Path, num_classes: int | None, workers: int, image_size: tuple[int, int] | None = None
) -> Manifest:
    """Scan every part of `folder`, write its sidecar, and write `dataset.json`.

    Args:
        folder: holds part-00000, part-00001, ...
        num_classes: labels lie in [0, num_classes); None: as `property` says, else the highest label and one more.
        workers: processes; one scans one part at a time.
        image_size: height and width of the images; None: as dataset.json or `property` says, else 112x112.

    Raises:
        UserError: a part is missing or holds what the native reader would not survive, or the parts are not those of
            the dataset.json that is there; or `image_size` is another than the set says of itself.
    """
    if (num_classes is not None and num_classes < 1) or workers < 1:
        raise UserError("--num_classes and --workers must be at least 1.")
    try:
        known = Manifest.load(folder)
    except UserError:  # missing or damaged: this is where it is made
        known = None
    classes, said = None, None
    if known:
        classes, said = known.num_classes, known.image_size
    elif (folder / "property").exists() and (num_classes is None or image_size is None):
        classes, said = read_property(folder / "property")
    if image_size and said not in (None, image_size):
        raise UserError(
            f"{folder} says that it holds {size_words(said)} images; leave out --image_size {size_words(image_size)}."
        )
    num_classes, size = num_classes or classes, image_size or said or USUAL_SIZE
    paths = _part_paths(folder)
    parts, highest = [], 0
    try:
        with worker_pool(workers) as pool, Bar(total=len(paths), desc="Scanning", unit="parts") as bar:
            for part, label in pool.map(_index_part, paths, [num_classes] * len(paths), [size] * len(paths)):
                parts.append(part)
                highest = max(highest, label)
                bar.update()
        manifest = Manifest(
            num_records=sum(part.records for part in parts),
            num_classes=num_classes or highest + 1,
            parts=parts,
            image_size=size,
            source={"format": "OFRecord parts of another tool"},
        )
        if known:
            _refuse_other_parts(folder, known, manifest)
            manifest = dataclasses.replace(known, num_classes=manifest.num_classes)
        manifest.save(folder)
    except OSError as error:
        raise UserError(f"{error.filename or folder} cannot be used: {error.strerror or error}.") from None
    finally:
        for left in folder.glob(f"part-*.index.*{TEMPORARY_SUFFIX}"):  # of workers that were ended in their tasks
            left.unlink(missing_ok=True)
    return manifest


def _part_paths(folder: Path) -> list[Path]:
    """The part files in order of their numbers, which must run from 0 without a gap."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder.")
    numbered = sorted((int(match[1]), path) for path in folder.iterdir() if (match := _PART_NAME.fullmatch(path.name)))
    if not numbered:
        raise UserError(f"{folder} holds no part-00000.")
    for expected, (number, path) in enumerate(numbered):
        if number != expected:
            raise UserError(f"{folder} has {path.name} but no part number {expected}.")
        if not path.is_file():
            raise UserError(f"{path} is no regular file; copy the part again.")
    return [path for _, path in numbered]


def _index_part(path: Path, num_classes: int | None, image_size: tuple[int, int]) -> tuple[Part, int]:
    """Write the sidecar of one part; the part and its highest label."""
    index = scan_part(path, num_classes, image_size)
    write_index(path, index)
    return Part(path.name, len(index), path.stat().st_size, file_crc32(path)), int(np.max(index["label"]))


def _refuse_other_parts(folder: Path, known: Manifest, present: Manifest) -> None:
    """Refuse to hide that a set lost or changed records since its dataset.json was written."""
    if known.parts != present.parts:
        changed = next((a.name for a, b in zip(known.parts, present.parts, strict=False) if a != b), "their number")
        raise UserError(
            f"The parts in {folder} are not those of its {MANIFEST_NAME} ({changed} differs); copy the set again, or "
            f"remove {MANIFEST_NAME} to accept the parts as they are."
        )
