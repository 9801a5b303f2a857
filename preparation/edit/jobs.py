"""New sets from finished ones, each there whole or not at all: a subset, a merged set, a set and what it holds out.

Measured with a million records: 24 bytes of memory a record, 45 while images per identity are limited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.manifest import MANIFEST_NAME, Manifest
from preparation.edit.classes import TABLE_NAME, read_names, renumber, write_names
from preparation.edit.lists import read_labels, read_records
from preparation.edit.merge import label_offsets, merge, merged_names
from preparation.edit.rules import Rules, hold_out, select
from preparation.edit.write import Chosen, copy_verification_sets, refuse_full_disk, write_set, write_table
from preparation.record_sets import RecordSets
from utils.errors import UserError
from utils.folders import new_folder

TRAIN_NAME, HELD_OUT_NAME = "train", "held_out"


@dataclass(frozen=True)
class Output:
    """Where a new set goes, and how: `num_part` None is as many parts as the source has, `force` replaces what is
    there, `workers` are processes and do not change the bytes."""

    folder: Path
    num_part: int | None = None
    force: bool = False
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("num_part", "workers"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, not {getattr(self, name)}.")


def write_subset(
    source: Path, rules: Rules, output: Output, drop: Path | None, identities: Path | None, keep_labels: bool
) -> Manifest:
    """Write what `rules` keep of a set, in the order it has there.

    Args:
        drop, identities: files for the rules of these names (`lists`).
        keep_labels: identities without images stay; else the labels are numbered again from 0, in the old order.

    Raises:
        UserError: anything that the user can put right.
    """
    sets = RecordSets(source)
    rules = Rules(
        **vars(rules)
        | {"drop": read_records(drop, sets) if drop else None}
        | {"identities": read_labels(identities) if identities else None}
    )
    labels = sets.column("label")
    records = select(labels, sets.manifests[0].num_classes, rules)
    drawn = {name: value for name, value in vars(rules).items() if name not in ("drop", "identities")}
    lists = {"dropped": 0 if rules.drop is None else len(rules.drop), "identities_listed": rules.identities is not None}
    return write_records(sets, records, labels, output, {"subset": drawn | lists}, keep_labels)


def write_records(
    sets: RecordSets,
    records: np.ndarray,
    labels: np.ndarray,
    output: Output,
    how: Mapping[str, object],
    keep_labels: bool = False,
    origins: np.ndarray | None = None,
    finish: Callable[[Path], object] = lambda folder: None,
) -> Manifest:
    """Write `records` (n,) of one set, in that order, and its verification sets.

    Args:
        labels: (N,) int32, of every record of the set, in its classes or in those of `origins`.
        how: what the manifest says of the choice.
        keep_labels: as in `write_subset`.
        origins: (labels,) the class of the set that each label was; None: they are the same.
        finish: called with the new folder before the parts are written, to add to it.

    Raises:
        UserError: anything that the user can put right.
    """
    with new_folder(output.folder, sets.folders, output.force, MANIFEST_NAME) as folder:
        refuse_full_disk(folder, sets, records)
        copy_verification_sets(sets.folders, folder)
        finish(folder)
        return _write(sets, records, labels, folder, output, keep_labels, how, origins)


def write_merged(sources: Sequence[Path], output: Output, same_identities: bool, seed: int | None) -> Manifest:
    """Write all records of `sources` as one set; see `merge`.

    Raises:
        UserError: anything that the user can put right.
    """
    if len({source.resolve() for source in sources}) < max(len(sources), 2):
        raise UserError("Merging takes two or more different sets.")
    sets = RecordSets(*sources)
    chosen = merge(sets, same_identities, seed)
    names = merged_names(sets, same_identities)
    with new_folder(output.folder, sources, output.force, MANIFEST_NAME) as folder:
        refuse_full_disk(folder, sets, chosen.records)
        copy_verification_sets(sources, folder)
        if names is not None:
            write_names(folder, names)
        if not same_identities:
            rows = (
                (number, old, old + offset)
                for number, (offset, manifest) in enumerate(zip(label_offsets(sets), sets.manifests, strict=True))
                for old in range(manifest.num_classes)
            )
            write_table(folder / TABLE_NAME, ("set", "old", "new"), rows)
        how = {"merged": {"same_identities": same_identities}}
        return write_set(sets, chosen, folder, output.num_part, output.workers, how)


def write_split(
    source: Path,
    number: int,
    output: Output,
    seed: int,
    keep_labels: bool,
    finish: Callable[[Path, RecordSets, np.ndarray, np.ndarray], object],
) -> tuple[Manifest, Manifest]:
    """Write `train`, a set without `number` identities, and `held_out`, a set of theirs, into one new folder.

    Args:
        keep_labels: of both sets, as in `write_subset`.
        finish: called with the new folder, the records, and those held out and their labels, before all gets its name.

    Raises:
        UserError: anything that the user can put right.
    """
    sets = RecordSets(source)
    labels = sets.column("label")
    held = hold_out(labels, sets.manifests[0].num_classes, number, seed)
    with new_folder(output.folder, [source], output.force, TRAIN_NAME) as folder:
        kinds = {TRAIN_NAME: np.flatnonzero(~held), HELD_OUT_NAME: np.flatnonzero(held)}
        refuse_full_disk(folder, sets, *kinds.values())
        (folder / TRAIN_NAME).mkdir()
        copy_verification_sets([source], folder / TRAIN_NAME)
        finish(folder, sets, kinds[HELD_OUT_NAME], labels[held])
        how = {"hold_out": number, "seed": seed}
        train, held_out = (
            _write(sets, records, labels, folder / name, output, keep_labels, {name: how})
            for name, records in kinds.items()
        )
        return train, held_out


def _write(
    sets: RecordSets,
    records: np.ndarray,
    labels: np.ndarray,
    folder: Path,
    output: Output,
    keep_labels: bool,
    how: Mapping[str, object],
    origins: np.ndarray | None = None,
) -> Manifest:
    """Write records of one set, with their labels renumbered or as they are."""
    num_classes, (names,) = sets.manifests[0].num_classes, read_names(sets)
    if origins is None:
        origins = np.arange(num_classes)
    chosen = labels[records]
    folder.mkdir(exist_ok=True)
    if not keep_labels:
        chosen, old = renumber(chosen, len(origins))
        num_classes, old = len(old), origins[old]
        write_table(folder / TABLE_NAME, ("old", "new"), zip(old.tolist(), range(num_classes), strict=True))
        names = names and [names[label] for label in old]
    if names is not None:
        write_names(folder, names)
    return write_set(sets, Chosen(records, chosen, num_classes), folder, output.num_part, output.workers, how)
