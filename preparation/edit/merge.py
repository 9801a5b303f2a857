"""Several OFRecord sets as one: label offsets, or one label space, and the records of all of them mixed."""

from __future__ import annotations

import numpy as np

from preparation.edit.classes import read_names
from preparation.edit.write import MAX_CLASSES, Chosen
from preparation.record_sets import RecordSets
from utils.errors import UserError


def merge(sets: RecordSets, same_identities: bool, seed: int | None) -> Chosen:
    """All records of `sets`, with labels that tell their identities apart.

    Args:
        same_identities: a label means the same person in every set, and stays; else each set's labels come after
            those of the sets before it.
        seed: of the order, which mixes the sets; None: one set after another.

    Raises:
        UserError: more classes than int32 labels can tell apart.
    """
    labels = sets.column("label")
    classes = [manifest.num_classes for manifest in sets.manifests]
    num_classes = max(classes) if same_identities else sum(classes)
    if num_classes > MAX_CLASSES:
        raise UserError(f"{num_classes} identities are more than labels can tell apart, {MAX_CLASSES}.")
    if not same_identities:
        first = 0
        for offset, manifest in zip(label_offsets(sets), sets.manifests, strict=True):
            labels[first : first + manifest.num_records] += offset
            first += manifest.num_records
    if seed is None:
        return Chosen(np.arange(len(labels)), labels, num_classes)
    order = np.random.default_rng(seed).permutation(len(labels))
    return Chosen(order, labels[order], num_classes, seed)


def label_offsets(sets: RecordSets) -> list[int]:
    """What is added to each set's labels: the classes of the sets before it."""
    return np.cumsum([0, *(manifest.num_classes for manifest in sets.manifests[:-1])]).tolist()


def merged_names(sets: RecordSets, same_identities: bool) -> list[bytes] | None:
    """The lines of the merged set's `classes.txt`; None where a set has none.

    Raises:
        UserError: sets said to be of the same identities name one label differently, or a list is damaged.
    """
    listed = read_names(sets)
    names = [each for each in listed if each is not None]
    if len(names) < len(listed):
        return None
    if not same_identities:
        return [name for each in names for name in each]
    longest = max(names, key=len)
    for folder, each in zip(sets.folders, names, strict=True):
        label = next((i for i, pair in enumerate(zip(each, longest, strict=False)) if pair[0] != pair[1]), None)
        if label is not None:
            raise UserError(f"{folder} names identity {label} differently; --same_identities needs one numbering.")
    return longest
