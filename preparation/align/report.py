"""What became of each photograph: a CSV line each, counts by reason, and a sheet of some that were left out."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from data.storage import write_file
from preparation.align.task import SIDE, Row, thumbnail_path

SUMMARY = "summary.json"
_COLUMNS, _ROWS = 8, 8  # of the sheet
_CAPTION = 34  # pixels under a picture
_NUMBERED = {r"^(score|size) [\d.]+ ": r"\1 ", r"^\d+x\d+ pixels, ": "", r"^\d+ faces": "several faces"}


def write_lines(folder: Path, notes: Path, rows: Sequence[Row], left_out: Sequence[Row]) -> Path:
    """Writes photos.csv, whose path it returns, and rejects.png, if any that decode are left out.

    rows: of the photographs by their numbers; left_out: of what is no photograph of a person. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = folder / "photos.csv"
    write_file(lines, _csv([*rows, *left_out]))
    rejected = [number for number in range(len(rows)) if thumbnail_path(notes, number).exists()]
    if rejected:
        step = -(-len(rejected) // (_COLUMNS * _ROWS))
        write_file(folder / "rejects.png", _sheet(notes, rows, rejected[::step]))
    return lines


def write_summary(folder: Path, rows: Sequence[Row], left_out: Sequence[Row], about: dict) -> dict:
    """Writes summary.json, and returns what is in it. Raises OSError."""
    kept = [row for row in rows if row.kept]
    people, with_face = ({row.photo.partition("/")[0] for row in some} for some in (rows, kept))
    dropped = Counter(_kind(row.reason) for row in [*rows, *left_out] if not row.kept)
    summary = about | {
        "photos": len(rows),
        "kept": len(kept),
        "people": len(people),
        "people_without_a_face": len(people - with_face),
        "several_faces": sum(row.faces > 1 for row in kept),
        "left_out": dict(dropped.most_common()),
    }
    write_file(folder / SUMMARY, (json.dumps(summary, indent=1) + "\n").encode())
    return summary


def _kind(reason: str) -> str:
    """A reason without its numbers, to be counted: "size is below 40 pixels" for every size."""
    for pattern, kind in _NUMBERED.items():
        reason = re.sub(pattern, kind, reason)
    return reason


def _csv(rows: Sequence[Row]) -> bytes:
    lines = io.StringIO(newline="")
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(("photo", "face", "left_out_because", "candidates", "score", "size"))
    table.writerows((row.photo, row.kept, row.reason, row.faces, row.score, row.size) for row in rows)
    return lines.getvalue().encode("utf-8", "surrogateescape")  # names are any bytes


def _sheet(notes: Path, rows: Sequence[Row], chosen: Sequence[int]) -> bytes:
    height, width = SIDE + _CAPTION, SIDE + 8
    columns = min(_COLUMNS, len(chosen))
    sheet = np.full((height * -(-len(chosen) // columns), width * columns, 3), 255, np.uint8)
    for place, number in enumerate(chosen):
        top, left = place // columns * height, place % columns * width
        sheet[top : top + SIDE, left : left + SIDE] = cv2.imread(str(thumbnail_path(notes, number)))
        name = rows[number].photo.encode("ascii", "replace").decode()
        for line, text in enumerate((name[-24:], rows[number].reason[:24])):
            at = (left + 2, top + SIDE + 13 + 15 * line)
            cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.34, (0, 0, 0), 1, cv2.LINE_AA)
    return cv2.imencode(".png", sheet)[1].tobytes()
