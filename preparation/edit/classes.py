"""What becomes of a set's labels when some of its identities go: new numbers, `classes.csv`, and their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.manifest import Manifest
from preparation.record_sets import RecordSets
from preparation.sources.source import CLASSES_NAME
from utils.errors import UserError

TABLE_NAME = "classes.csv"  # old and new label of each identity


def renumber(old: np.ndarray, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Dense labels from 0 in the order of the old ones.

    Args:
        old: (n,) labels in [0, num_classes).

    Returns:
        The new labels (n,) int32, and the old label of each new one, (identities,) int64, rising.
    """
    present = np.zeros(num_classes, bool)
    present[old] = True
    new = np.cumsum(present, dtype=np.int32) - 1
    return new[old], np.flatnonzero(present)


def read_names(sets: RecordSets) -> list[list[bytes] | None]:
    """Each set's lines of `classes.txt`, None where it has none.

    Raises:
        UserError: one has not a line for each label.
    """
    return [_names(*pair) for pair in zip(sets.folders, sets.manifests, strict=True)]


def write_names(folder: Path, names: list[bytes]) -> None:
    """Write `classes.txt`."""
    (folder / CLASSES_NAME).write_bytes(b"".join(name + b"\n" for name in names))


def _names(folder: Path, manifest: Manifest) -> list[bytes] | None:
    path = folder / CLASSES_NAME
    if not path.is_file():
        return None
    names = path.read_bytes().removesuffix(b"\n").split(b"\n")
    if len(names) != manifest.num_classes:
        raise UserError(f"{path} has {len(names)} lines for {manifest.num_classes} identities; repair or remove it.")
    return names
