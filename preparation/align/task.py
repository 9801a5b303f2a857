"""What a worker does: a slice of the photographs to aligned faces, noted in one file when all are written."""

from __future__ import annotations

import functools
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from data.images import encode_jpeg
from data.storage import write_file
from evaluation.align import align
from preparation.align.choose import CANDIDATE, Bounds, choose
from preparation.align.photos import Unusable, read_photo
from recognition.detectors.choose import CASCADE, Detector, load_detector
from recognition.face import Face
from utils.errors import UserError
from utils.reading.json_file import parse_json

SIDE = 144  # of a thumbnail, in pixels
ALL_SHOWN = 1024  # of the first photographs every reject has a thumbnail, later one of a slice, to spare the disk


@dataclass(frozen=True)
class Task:
    """What all slices have in common."""

    photos: Path
    faces: Path  # PERSON/NUMBER.jpg go there
    notes: Path
    detector: str
    bounds: Bounds
    max_pixels: int
    image_size: tuple[int, int]  # of the faces: height, width


@dataclass(frozen=True)
class Row:
    """A photograph's line in the report; the strings are names as `os.fsdecode` has them."""

    photo: str
    kept: str = ""  # the aligned face's file, below the folder of faces; empty: left out
    reason: str = ""  # why it was left out
    faces: int = 0  # that were candidates
    score: float | None = None  # of the face that was taken
    size: float | None = None  # its box's shorter side, in pixels


def note_path(notes: Path, first: int) -> Path:
    return notes / f"slice-{first:09}.json"


def read_note(path: Path) -> list[Row] | None:
    """None if there is none that can be read."""
    try:
        return [Row(**row) for row in parse_json(path.read_bytes())]
    except (OSError, ValueError, TypeError):
        return None


def align_slice(task: Task, first: int, photos: list[tuple[bytes, bytes]]) -> int:
    """Aligns photographs `first` ..., and notes their rows; how many there are. What a killed worker left is redone."""
    rows: list[Row] = []
    for number, names in enumerate(photos):
        shown = first < ALL_SHOWN or not any(thumbnail_path(task.notes, first + one).exists() for one in range(number))
        rows.append(_align_one(task, first + number, *names, shown))
    write_file(note_path(task.notes, first), json.dumps([asdict(row) for row in rows]).encode())
    return len(rows)


def thumbnail_path(notes: Path, number: int) -> Path:
    return notes / f"rejected-{number:09}.png"


def _align_one(task: Task, number: int, person: bytes, file: bytes, shown: bool) -> Row:
    name = os.fsdecode(person + b"/" + file)
    faces: list[Face] = []
    pixels = None
    try:
        pixels = read_photo(os.path.join(os.fsencode(task.photos), person, file), task.max_pixels)
        faces = _detector(task.detector, min(CANDIDATE, task.bounds.min_score))(pixels)
        height, width, _ = pixels.shape
        face = choose(faces, height, width, task.bounds)
        try:
            aligned = align(pixels, face.landmarks, task.image_size)
        except UserError:
            raise Unusable("landmarks that are not those of a face") from None
    except Unusable as why:
        if pixels is not None and shown:
            _keep_thumbnail(thumbnail_path(task.notes, number), pixels, faces)
        return Row(name, "", str(why), len(faces))
    folder = task.faces / os.fsdecode(person)
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / f"{number:09}.jpg", encode_jpeg(cv2.cvtColor(aligned, cv2.COLOR_RGB2BGR)))
    size = round(min(face.box[2:].tolist()), 1)
    score = None if face.score is None else round(face.score, 4)
    return Row(name, f"{os.fsdecode(person)}/{number:09}.jpg", "", len(faces), score, size)


@functools.lru_cache(maxsize=1)
def _detector(choice: str, threshold: float) -> Detector:
    """One in each worker, which has one core."""
    return load_detector(choice, None if choice == CASCADE else threshold, threads=1)


def _keep_thumbnail(path: Path, pixels: np.ndarray, faces: list[Face]) -> None:
    """The photograph small, its candidates marked."""
    scale = SIDE / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    for face in faces:
        left, top, across, down = (face.box * scale).round().astype(int).tolist()
        cv2.rectangle(small, (left, top), (left + across, top + down), (213, 94, 0), 1)
    sheet = np.full((SIDE, SIDE, 3), 230, np.uint8)
    sheet[:height, :width] = small
    write_file(path, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
