"""What InsightFace's header and identity records tell of a set. They and the labels are float32: beyond 2**24 rounded.

Record 0 is the header, [first identity's key, end]. Images have the keys from 1 on. Then identity j, at the key
first + j, says [start, end) of its images' keys.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.storage import RangeReader
from preparation.sources.recordio_file import join_chunks, unpack
from preparation.sources.source import LABELS_ONLY
from utils.errors import UserError

_FLOAT = np.float32  # the type of labels and of the header's keys, and the integer up to which it holds every one
EXACT = 1 << 24


def image_range(entries: np.ndarray, rec: Path) -> slice:
    """Which of the `entries`, sorted by key, are images.

    Record 0 is a header if it holds two labels and no image: [first identity's key, end]. Without one, all are images.
    """
    if entries["key"][0] != 0 or entries["kind"][0] != LABELS_ONLY:
        return slice(0, len(entries))
    first = _first_identity(rec, int(entries["offset"][0]) - 40)
    images = int(np.searchsorted(entries["key"], first))
    if first > EXACT:  # only known to the next float: the records themselves must say where the images end
        images = int(np.flatnonzero(entries["kind"] != LABELS_ONLY).max(initial=0)) + 1
        exact = int(entries["key"][images - 1]) + 1
        if _FLOAT(exact) != _FLOAT(first):
            raise UserError(
                f"The header of {rec} says that the images end before key {first}, but they end before {exact}."
            )
        first = exact
    if images != first:
        raise UserError(
            f"The header of {rec} speaks of {first - 1} images but its .idx lists {images - 1}; "
            "the two do not belong together."
        )
    strays = np.flatnonzero(entries["kind"][images:] != LABELS_ONLY)
    if len(strays):
        raise UserError(
            f"The header of {rec} says that identities begin at key {first}, but record "
            f"{entries['key'][images + strays[0]]} is not one."
        )
    return slice(1, images)


def exact_labels(entries: np.ndarray, images: slice, num_classes: int, rec: Path) -> np.ndarray:
    """The labels of the images, exactly.

    A label that float32 rounds stands for a few identities. Images lie in the order of their identities, so it is told
    as soon as the identity records leave one key only at which each of these may begin.

    Args:
        entries: all records of `rec`, sorted by key; images: which of them are images, as `image_range` says.

    Returns:
        (images,) float64.

    Raises:
        UserError: the records do not tell.
    """
    labels, keys, identities = entries["label"][images].copy(), entries["key"][images], entries[images.stop :]
    highest = labels.max(initial=0, where=labels < num_classes + EXACT)
    if highest < EXACT:
        return labels
    classes = np.arange(EXACT, min(num_classes, int(highest + np.spacing(_FLOAT(highest))) + 1))
    held, first, count = np.unique(classes.astype(_FLOAT).astype(float), return_index=True, return_counts=True)
    rows = np.flatnonzero(np.isin(labels, held))
    rows = rows[np.argsort(labels[rows], kind="stable")]
    for group in np.split(rows, np.flatnonzero(np.diff(labels[rows])) + 1) if len(rows) else ():
        at = np.searchsorted(held, labels[group[0]])
        meant = classes[first[at] : first[at] + count[at]]
        starts = [int(keys[group[0]])]
        if len(meant) > 1:
            begin, end = starts[0], int(keys[group[-1]]) + 1
            in_a_run = end - begin == len(group) and len(identities) == num_classes
            possible = [_keys_held_as(identities["label"][j], begin, end) for j in meant] if in_a_run else [[]]
            if begin not in possible[0] or any(len(keys_of) != 1 for keys_of in possible[1:]):
                raise UserError(
                    f"{rec} has images of the label {int(labels[group[0]])}, to which float32 rounds the identities "
                    f"{meant[0]} to {meant[-1]}, and its identity records do not tell which is meant; make the set "
                    "from the images or from a list of them."
                )
            starts += [keys_of[0] for keys_of in possible[1:]]
        labels[group] = meant[np.searchsorted(starts, keys[group], side="right") - 1]
    return labels


def _keys_held_as(rounded: float, begin: int, end: int) -> list[int]:
    """The keys from `begin` to `end`, both included, that float32 holds as `rounded`."""
    below, above = (int(np.nextafter(_FLOAT(rounded), _FLOAT(side))) for side in (0, np.inf))
    return [key for key in range(max(begin, below), min(end, above) + 1) if _FLOAT(key) == _FLOAT(rounded)]


def _first_identity(rec: Path, offset: int) -> int:
    """The first identity's key from the header record at byte `offset`."""
    with RangeReader(rec) as file:
        payload = join_chunks(file.read(offset, 40))
    _, (first, _), _ = unpack(payload)
    if not (first >= 1 and first.is_integer()):
        raise UserError(f"The header of {rec} is damaged: the first identity's key cannot be {first}.")
    return int(first)
