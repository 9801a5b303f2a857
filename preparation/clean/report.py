"""What cleaning did, as files: counts, dropped images as a list and a sheet, angles, and lists to review."""

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from evaluation.sources import RecordImages
from pages.figure import COLORS, png
from preparation.clean.review import degrees
from preparation.clean.rules import Cleaned
from preparation.clean.votes import Members, Votes
from preparation.edit.write import write_table
from preparation.inspect.pictures import sheet_png
from preparation.record_sets import RecordSets

MERGE_NAME, SPLIT_NAME = "merge.csv", "split.csv"
_KEPT, _DROPPED = 4, 8  # images in a row of the sheet


def write_report(
    folder: Path,
    sets: RecordSets,
    members: Members,
    votes: Votes,
    cleaned: Cleaned,
    candidates: tuple[np.ndarray, np.ndarray],
    angle: float,
    summary: Mapping[str, object],
    rows: int,
) -> None:
    """Write summary.json, counts.csv, dropped.csv, angles.png, merge.csv and split.csv into `folder`, a new one, and
    dropped.png of at most `rows` classes, if any image was dropped.

    candidates: as `duplicates` and `mixed` give them. angle: degrees from which on images were dropped. summary: plain
    values.
    """
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    images = np.diff(members.starts)
    kept = np.bincount(members.labels[cleaned.keep], minlength=members.num_classes)
    counted = [images, kept, images - kept, votes.dominant, *votes.counts.T]
    header = ["label", "images", "kept", "dropped", "dominant", *(f"votes_{k}" for k in range(votes.counts.shape[1]))]
    write_table(folder / "counts.csv", header, zip(range(len(images)), *(each.tolist() for each in counted)))  # noqa: B905
    angles = degrees(votes.cosine)
    dropped = np.flatnonzero(~cleaned.keep)
    places = map(sets.place, dropped.tolist())
    lines = zip(places, members.labels[dropped].tolist(), angles[dropped].tolist(), strict=True)
    write_table(
        folder / "dropped.csv",
        ("part", "record", "label", "angle"),
        ((path.name, record, label, f"{angle:.2f}") for (path, record), label, angle in lines),
    )
    (folder / "angles.png").write_bytes(png(_angles(angles, cleaned.keep, angle)))
    if len(dropped) and rows:
        (folder / "dropped.png").write_bytes(_sheet(sets, members, cleaned, angles, images, kept, rows))
    _write_candidates(folder, votes, *candidates)


def _write_candidates(folder: Path, votes: Votes, pairs: np.ndarray, mixed: np.ndarray) -> None:
    pairs_of = ((int(label), int(other), f"{angle:.2f}") for label, other, angle in pairs.tolist())
    write_table(folder / MERGE_NAME, ("label", "other", "angle"), pairs_of)
    apart = degrees(votes.apart[mixed]).tolist()
    first, second = (votes.counts[mixed, chosen[mixed]].tolist() for chosen in (votes.dominant, votes.second))
    write_table(
        folder / SPLIT_NAME,
        ("label", "votes", "other_votes", "angle"),
        ((*row[:3], f"{row[3]:.2f}") for row in zip(mixed.tolist(), first, second, apart, strict=True)),
    )


class _Faces:
    """Of records, as `sheet_png` wants them."""

    def __init__(self, folder: Path) -> None:
        self._images = RecordImages(folder)
        self.image_size = self._images.image_size

    def picture(self, record: int) -> np.ndarray:
        """(*image_size, 3) uint8 BGR."""
        return cv2.cvtColor(self._images.decode(record, record + 1)[0], cv2.COLOR_RGB2BGR)


def _sheet(
    sets: RecordSets,
    members: Members,
    cleaned: Cleaned,
    angles: np.ndarray,
    images: np.ndarray,
    kept: np.ndarray,
    rows: int,
) -> bytes:
    """Classes at even steps from the one that lost most: a few images that stay, a gap, and the farthest that went."""
    losers = np.argsort(kept - images, kind="stable")[: np.count_nonzero(kept < images)]
    shown = losers[np.linspace(0, len(losers) - 1, min(rows, len(losers))).round().astype(int)].tolist()
    lines = []
    for label in shown:
        records = members.order[members.starts[label] : members.starts[label + 1]]
        records = records[np.argsort(angles[records], kind="stable")]
        stay, go = records[cleaned.keep[records]], records[~cleaned.keep[records]][::-1]
        words = [f"class {label}", f"{len(go)} of {len(records)} dropped", f"left: {min(len(stay), _KEPT)} kept"]
        if len(go):
            words.append(f"right: to {angles[go[0]]:.0f} deg")
        padded = [*stay[:_KEPT].tolist(), *[None] * (_KEPT + 1 - min(len(stay), _KEPT)), *go[:_DROPPED].tolist()]
        lines.append((words, padded))
    return sheet_png(_Faces(sets.folders[0]), lines)


def _angles(angles: np.ndarray, keep: np.ndarray, limit: float) -> Figure:
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    edges = np.arange(0, 181, 2.5)
    for mask, color, word in ((keep, COLORS[0], "kept"), (~keep, COLORS[1], "dropped")):
        counts = np.histogram(angles[mask], edges)[0]
        axes.stairs(counts, edges, fill=True, color=color, alpha=0.6, label=f"{counts.sum():,} {word}")
    axes.axvline(limit, color="#444444", lw=1.2, ls="--", label=f"{limit:g}°")
    axes.set_xlim(0, max(float(angles.max(initial=0)), limit) + 5)
    axes.set_title(f"Angle of {len(angles):,} images to their class's dominant center", loc="left", fontsize=11)
    axes.set_xlabel("degrees")
    axes.set_ylabel("images")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
