"""A finished OFRecord set looked over: checked against its manifest, counted, drawn, and searched for duplicates."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.manifest import MANIFEST_NAME, Manifest
from data.storage import TEMPORARY_SUFFIX
from preparation.inspect.duplicates import DIFFERENCE, DISTANCE, bit_distances, differences, find_groups
from preparation.inspect.part import inspect_part
from preparation.inspect.pictures import histogram_png, sheet_png
from preparation.inspect.table import RecordTable
from preparation.workers import worker_pool
from utils.errors import UserError
from utils.folders import new_folder
from utils.progress import Bar

SUMMARY, HISTOGRAM, SHEET = "summary.json", "images_per_identity.png", "contact_sheet.png"
FAULTS, EMPTY = "faults.csv", "identities_without_images.txt"
DUPLICATES, DUPLICATES_SHEET = "duplicates.csv", "duplicates.png"
_ROWS, _COLUMNS = 12, 8  # of the sheets
_PAIRS_AT_ONCE = 512


@dataclass(frozen=True)
class Found:
    """What an inspection found; `summary` is what `summary.json` holds.

    faults: rows of `faults.csv`; groups: of duplicates across identities; files: what was written.
    """

    summary: dict
    faults: int
    groups: int
    files: list[str] = field(default_factory=list)


def inspect_set(folder: Path, report: Path, workers: int, verify: bool = False, duplicates: bool = False) -> Found:
    """Inspect a set and write a report; shows its progress on stderr.

    Every part is read whole: its CRC-32 against the manifest, every record against the sidecar, every JPEG's header.
    Takes 32 bytes of disk a record, and with `duplicates` up to 140 bytes of memory.

    Args:
        report: folder of the report; an earlier report there is replaced.
        workers: processes.
        verify: decode every image.
        duplicates: look for one picture under several identities.

    Raises:
        UserError: there is no manifest, or the report cannot be written.
    """
    if workers < 1:
        raise UserError(f"--workers must be at least 1, not {workers}.")
    manifest = Manifest.load(folder)
    with new_folder(report, [folder], True, SUMMARY) as out:
        table = RecordTable(out / "_records.npy", folder, manifest)
        faults = _check_parts(folder, manifest, table, out, workers, verify, duplicates)
        labels = np.array(table.rows["label"])
        counts = np.bincount(labels[labels >= 0], minlength=manifest.num_classes)
        empty = np.flatnonzero(counts == 0)
        summary = _summarize(manifest, table, labels, counts)
        (out / HISTOGRAM).write_bytes(histogram_png(counts))
        if counts.any():
            (out / SHEET).write_bytes(sheet_png(table, _some_identities(labels, counts)))
        if len(empty):
            (out / EMPTY).write_text("".join(f"{label}\n" for label in empty.tolist()))
        groups: list[np.ndarray] = []
        if duplicates:
            groups = _find_duplicates(table, labels, workers)
            summary["duplicates_across_identities"] = {
                "groups": len(groups),
                "images": sum(map(len, groups)),
                "within_bits": DISTANCE,
            }
        if groups:
            _write_duplicates(out / DUPLICATES, table, groups)
            rows = [
                ([f"group {n}", *_labels_of(labels, g)], g[:_COLUMNS].tolist()) for n, g in enumerate(groups[:_ROWS])
            ]
            (out / DUPLICATES_SHEET).write_bytes(sheet_png(table, rows))
        summary["faults"] = faults
        table.path.unlink()
        (out / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n")
        return Found(summary, faults, len(groups), sorted(path.name for path in out.iterdir()))


def _check_parts(
    folder: Path, manifest: Manifest, table: RecordTable, out: Path, workers: int, verify: bool, duplicates: bool
) -> int:
    """Fill in `table` and write the list of faults, if there are any; how many there are."""
    count = 0
    lists = {part.name: out / f"_{part.name}.csv" for part in manifest.parts}
    with (
        worker_pool(workers) as pool,
        Bar(total=manifest.num_records, desc="Checking", unit="records") as bar,
    ):
        flags = (manifest.num_classes, manifest.image_size, verify, duplicates, table.path)
        futures = {
            pool.submit(inspect_part, folder, part, int(start), *flags, lists[part.name]): part
            for part, start in zip(manifest.parts, table.starts, strict=False)
        }
        for future in as_completed(futures):
            count += future.result()
            bar.update(futures[future].records)
    strange = list(_strange_files(folder, manifest))
    if count or strange:
        with open(out / FAULTS, "w", newline="", errors="surrogateescape") as file:  # file names are any bytes
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("part", "record", "fault"))
            rows.writerows((name, "", fault) for name, fault in strange)
            for path in lists.values():
                file.write(path.read_text())
    for path in lists.values():
        path.unlink()
    return count + len(strange)


def _strange_files(folder: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield (name, what is wrong) for files that a finished set does not have."""
    known = {part.name for part in manifest.parts}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(TEMPORARY_SUFFIX) or path.name == "_converting":
            yield path.name, "left behind by a conversion that did not finish"
        elif path.name.startswith("part-") and path.name.split(".")[0] not in known:
            yield path.name, f"not listed in {MANIFEST_NAME}"


def _summarize(manifest: Manifest, table: RecordTable, labels: np.ndarray, counts: np.ndarray) -> dict:
    lengths = table.rows["length"][labels >= 0]
    return {
        "images": manifest.num_records,
        "image_size": list(manifest.image_size),
        "usable_images": len(lengths),
        "identities": manifest.num_classes,
        "identities_without_images": int((counts == 0).sum()),
        "parts": len(manifest.parts),
        "bytes": sum(part.bytes for part in manifest.parts),
        "images_per_identity": _spread(counts[counts > 0]),
        "bytes_per_image": _spread(lengths),
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    middle = {"median": float(np.median(values)), "mean": round(float(values.mean()), 2)}
    return {"min": int(values.min()), **middle, "max": int(values.max())}


def _some_identities(labels: np.ndarray, counts: np.ndarray) -> list[tuple[list[str], list[int]]]:
    """Rows of a sheet: identities spread evenly over all that have images, and the first images of each."""
    present = np.flatnonzero(counts)
    chosen = present[np.unique(np.linspace(0, len(present) - 1, _ROWS).astype(int))]
    return [
        ([f"identity {label}", f"{counts[label]} images"], np.flatnonzero(labels == label)[:_COLUMNS].tolist())
        for label in chosen.tolist()
    ]


def _labels_of(labels: np.ndarray, group: np.ndarray) -> list[str]:
    """The identities of a group, a line each; as many as fit."""
    return [f"identity {label}" for label in dict.fromkeys(labels[group].tolist())][:4]


def _find_duplicates(table: RecordTable, labels: np.ndarray, workers: int) -> list[np.ndarray]:
    usable = np.flatnonzero(labels >= 0)

    def same(chunk: np.ndarray) -> np.ndarray:
        """Which pairs of records, (n, 2), are copies."""
        thumbnails = np.stack([[table.thumbnail(record) for record in pair] for pair in chunk.tolist()])
        return differences(thumbnails[:, 0], thumbnails[:, 1]) <= DIFFERENCE

    def same_pairs(pairs: np.ndarray) -> np.ndarray:
        chunks = [usable[pairs[i : i + _PAIRS_AT_ONCE]] for i in range(0, len(pairs), _PAIRS_AT_ONCE)]
        with ThreadPoolExecutor(workers) as pool:
            return np.concatenate(list(pool.map(same, chunks)))

    rows = table.rows
    groups = find_groups(rows["digest"][usable], rows["hash"][usable], labels[usable], DISTANCE, same_pairs)
    return [usable[group] for group in groups]


def _write_duplicates(path: Path, table: RecordTable, groups: list[np.ndarray]) -> None:
    """Write a CSV file: a row for each image of a group. `drop` is 0 for the first of each and 1 for the others;
    `kind` and `distance` (bits of the hash) say how alike it is to the first."""
    with open(path, "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("group", "part", "record", "label", "kind", "distance", "drop"))
        for number, group in enumerate(groups):
            digests, hashes = table.rows["digest"][group], table.rows["hash"][group]
            bits = bit_distances(hashes, np.broadcast_to(hashes[0], hashes.shape))
            for i, record in enumerate(group.tolist()):
                kind = "exact" if digests[i] == digests[0] else "similar"
                label = int(table.rows["label"][record])
                rows.writerow((number, *table.place(record), label, kind, int(bits[i]), int(i > 0)))
