"""A new OFRecord set from chosen records of finished ones; the JPEGs are copied as they are."""

from __future__ import annotations

import csv
import functools
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.images import ImageChecker, Verdict
from data.manifest import SUCCESS_NAME, Manifest, Part
from data.ofrecord import PartWriter, part_name
from preparation.convert.to_ofrecord import part_bounds
from preparation.record_sets import RecordSets
from preparation.workers import worker_pool
from utils.errors import UserError
from utils.files import digest_of, show_size, sync
from utils.progress import Bar

MAX_CLASSES = 1 << 31  # labels are int32
_PLAN_NAME = "_plan.npy"  # what workers write; tasks are small, as one that fills a pipe outlives Ctrl-C
_PLAN_DTYPE = np.dtype([("record", "<i8"), ("label", "<i4")])
_RECORD_OVERHEAD = 80  # bytes around an image: OFRecord framing, the sidecar's entry and the plan's, rounded up


@dataclass(frozen=True)
class Chosen:
    """What a new set holds: `records` (n,) int64 numbers in `RecordSets`, in the order of writing, their `labels` (n,)
    int32 in [0, num_classes), and the `seed` of the order, None where it is that of the sources."""

    records: np.ndarray
    labels: np.ndarray
    num_classes: int
    seed: int | None = None


def refuse_full_disk(folder: Path, sets: RecordSets, *records: np.ndarray) -> None:
    """Raise UserError where the disk of `folder` has no room for these records (each an array of numbers)."""
    lengths = sets.column("length")
    need = sum(int(lengths[chosen].sum(dtype=np.int64)) + len(chosen) * _RECORD_OVERHEAD for chosen in records)
    free = shutil.disk_usage(folder).free
    if need > free:
        raise UserError(f"{folder.parent} needs {show_size(need)} for the parts but has {show_size(free)} free.")


def write_set(
    sets: RecordSets, chosen: Chosen, folder: Path, num_part: int | None, workers: int, how: Mapping[str, object]
) -> Manifest:
    """Write parts, sidecars, `property`, `dataset.json` and at last `_SUCCESS` into `folder`; shows its progress.

    Args:
        folder: made if it is not there; a new one (see `new_folder`), as what is half-written stays in it on an error.
        num_part: parts of equal size; None: as many as the largest of the sets has, if there are as many records.
        workers: processes; they do not change the bytes.
        how: what the manifest says of the choice.

    Raises:
        UserError: no record is left, fewer than parts, or one holds an image that the native reader does not survive.
        OSError: the disk is full, for instance.
    """
    count = len(chosen.records)
    if not count:
        raise UserError("No image is left of this choice; choose more.")
    if num_part is not None and not 1 <= num_part <= count:
        raise UserError(f"--num_part {num_part} is not possible for {count} image(s); each part needs at least one.")
    bounds = part_bounds(count, num_part or min(count, max(len(manifest.parts) for manifest in sets.manifests)))
    folder.mkdir(exist_ok=True)
    plan = np.empty(count, _PLAN_DTYPE)
    plan["record"], plan["label"] = chosen.records, chosen.labels
    np.save(folder / _PLAN_NAME, plan)
    del plan
    parts: dict[str, Part] = {}
    with worker_pool(workers) as pool, Bar(total=count, desc="Writing", unit="records") as bar:
        futures = [pool.submit(_write_part, sets.folders, folder, n, *bound) for n, bound in enumerate(bounds)]
        for future in as_completed(futures):
            part = future.result()
            parts[part.name] = part
            bar.update(part.records)
    (folder / _PLAN_NAME).unlink()
    (folder / "property").write_text("{},{},{}\n".format(chosen.num_classes, *sets.image_size))
    manifest = Manifest(
        num_records=count,
        num_classes=chosen.num_classes,
        parts=[parts[part_name(number)] for number in range(len(bounds))],
        image_size=sets.image_size,
        shuffle=chosen.seed is not None or all(source.shuffle for source in sets.manifests),
        seed=chosen.seed,
        source={"format": "OFRecord sets", "sets": list(map(_identify, sets.folders, sets.manifests)), **how},
    )
    manifest.save(folder)
    for path in folder.iterdir():
        sync(path)
    sync(folder)
    (folder / SUCCESS_NAME).touch()
    sync(folder)
    return manifest


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file."""
    with open(path, "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def copy_verification_sets(sources: Sequence[Path], folder: Path) -> None:
    """Copy the sources' `*.bin` into `folder`.

    Raises:
        UserError: two of one name differ.
    """
    for source in sources:
        for path in sorted(path for path in source.glob("*.bin") if path.is_file()):
            target = folder / path.name
            if target.exists() and target.read_bytes() != path.read_bytes():
                raise UserError(f"{path} differs from the {path.name} of another of the sets; rename one of them.")
            shutil.copyfile(path, target)


def _identify(folder: Path, manifest: Manifest) -> dict[str, object]:
    """A set's name and what tells it from others."""
    checksums = digest_of(f"{part.name} {part.crc32}\n".encode() for part in manifest.parts)
    facts = {"records": manifest.num_records, "classes": manifest.num_classes, "digest": checksums}
    return {"name": folder.resolve().name, **facts}


@functools.lru_cache(maxsize=1)
def _open(folders: tuple[Path, ...]) -> RecordSets:
    """Once for all the parts that a worker writes."""
    return RecordSets(*folders)


def _write_part(folders: tuple[Path, ...], folder: Path, number: int, start: int, stop: int) -> Part:
    """Write part `number`, entries `start` to `stop` of the plan."""
    sets, path = _open(folders), folder / part_name(number)
    checker = ImageChecker(sets.image_size)
    plan = np.load(folder / _PLAN_NAME, mmap_mode="r")[start:stop]
    with PartWriter(path) as writer:
        for record, label, image in zip(plan["record"], plan["label"], sets.images(plan["record"]), strict=True):
            verdict = checker.check(image, 0, len(image))
            if verdict is not Verdict.GOOD:
                part, place = sets.place(int(record))
                raise UserError(
                    f"Record {place} of {part} holds an image that is {verdict.reason(sets.image_size)}; list all such "
                    "records with tools/inspect_dataset.py and leave them out with --drop."
                )
            writer.add(image, int(label))
        writer.commit()
    return Part(path.name, len(plan), writer.bytes, writer.crc32)
