"""Photographs in person folders -> aligned faces in person folders, or an OFRecord set, and a report.

Slices of the photographs are tasks of the workers. A slice whose faces are written is noted, and a later run with the
same photographs and settings begins after it. `report/summary.json` says that all is done; it comes last.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data.storage import TEMPORARY_SUFFIX, write_file
from preparation.align.choose import Bounds
from preparation.align.photos import list_photos
from preparation.align.report import SUMMARY, write_lines, write_summary
from preparation.align.task import Row, Task, align_slice, note_path, read_note
from preparation.convert.to_ofrecord import Settings, convert
from preparation.workers import worker_pool
from recognition.detectors.choose import CASCADE, DEFAULT, load_detector
from utils.errors import UserError
from utils.pixels import USUAL_SIZE
from utils.progress import Bar

FACES, RECORDS, REPORT = "faces", "ofrecord", "report"
_WORK, _JOB = ".aligning", "job.json"
_SLICE = 16  # photographs


@dataclass(frozen=True)
class Alignment:
    """What to align, and how: `image_size` is the faces' height and width in pixels, `ofrecord` makes a set of at most
    `num_part` parts in place of folders, `max_pixels` bounds what is decoded, `workers` do not change the bytes, and
    `force` replaces what is there."""

    photos: Path
    output: Path
    detector: str = DEFAULT
    bounds: Bounds = field(default_factory=Bounds)
    max_pixels: int = 100_000_000
    image_size: tuple[int, int] = USUAL_SIZE
    ofrecord: bool = False
    num_part: int = 96
    workers: int = 1
    force: bool = False


def align_photos(settings: Alignment) -> dict:
    """Align, show the progress on stderr, and return the summary as it is in `report/summary.json`.

    Raises UserError for anything that the user can put right.
    """
    _refuse(settings)
    photos, left_out = list_photos(settings.photos)
    if not photos:
        raise UserError(
            f"{settings.photos} holds no photographs; it takes a folder for each person: PHOTOS/PERSON/FILE"
        )
    load_detector(settings.detector, threads=1)  # a bad one is refused before anything is written
    work = settings.output / _WORK
    try:
        with _locked(settings.output, work):
            faces = (work if settings.ofrecord else settings.output) / FACES
            _begin(settings, work, faces, _fingerprint(settings, photos))
            looked_for = (settings.detector, settings.bounds, settings.max_pixels, settings.image_size)
            task = Task(settings.photos, faces, work, *looked_for)
            rows = _align(task, photos, settings.workers)
            others = [Row(os.fsdecode(name), "", reason) for name, reason in left_out]
            lines = write_lines(settings.output / REPORT, work, rows, others)
            if not any(row.kept for row in rows):
                raise UserError(f"no photograph gave a face; {lines} says why")
            if settings.ofrecord:
                _convert(settings, faces, sum(bool(row.kept) for row in rows))
            about = {
                "detector": settings.detector,
                **asdict(settings.bounds),
                "max_pixels": settings.max_pixels,
                "image_size": list(settings.image_size),
            }
            summary = write_summary(settings.output / REPORT, rows, others, about)
            shutil.rmtree(work)
            return summary
    except OSError as error:
        raise UserError(f"Writing {error.filename or settings.output} failed: {error.strerror or error}.") from None


def _refuse(settings: Alignment) -> None:
    """Refuse settings that are impossible, and to write over what is read or is not of an alignment."""
    bounds, output = settings.bounds, settings.output
    for name in ("workers", "num_part", "max_pixels"):
        if getattr(settings, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(settings, name)}.")
    if not bounds.min_size >= 0 or not 0 < bounds.min_score < 1:
        raise UserError("--min_size must be 0 or more pixels, and --min_score between 0 and 1.")
    if settings.detector == CASCADE and bounds.min_score != Bounds.min_score:
        raise UserError("the cascade has no scores; leave out --min_score, or take another detector")
    written, read = (Path(os.path.realpath(path)) for path in (output, settings.photos))
    if written.is_relative_to(read) or read.is_relative_to(written):
        raise UserError(f"{output} and {settings.photos} are inside each other; write elsewhere.")
    finished = (output / REPORT / SUMMARY).exists()
    if finished and not settings.force:
        raise UserError(f"{output} already holds aligned faces; --force replaces them.")
    held = sorted(path.name for path in output.iterdir()) if output.is_dir() else []
    strangers = set(held) - {FACES, RECORDS, REPORT, _WORK}
    if strangers or (held and not finished and _WORK not in held):
        raise UserError(f"{output} holds files that are not of an alignment ({held[0]}); give a new folder.")


@contextmanager
def _locked(output: Path, work: Path) -> Iterator[None]:
    work.mkdir(parents=True, exist_ok=True)
    with open(work / "lock", "w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: workers would inherit it
        except (BlockingIOError, PermissionError):
            raise UserError(f"Another run is writing into {output}.") from None
        yield


def _fingerprint(settings: Alignment, photos: list[tuple[bytes, bytes]]) -> str:
    """Differs if the photographs, their sizes or times of change, or the settings that decide the faces do."""
    decide = (settings.detector, settings.bounds, settings.max_pixels, settings.ofrecord, settings.image_size)
    digest = hashlib.sha256(repr(decide).encode())
    for person, file in photos:
        try:
            about = os.stat(os.path.join(os.fsencode(settings.photos), person, file))
            state = f"{about.st_size} {about.st_mtime_ns}"
        except OSError:
            state = "unreadable"
        digest.update(b"%s/%s\0%s\0" % (person, file, state.encode()))
    return digest.hexdigest()


def _begin(settings: Alignment, work: Path, faces: Path, fingerprint: str) -> None:
    """Keep what an unfinished run with these photographs and settings has done, else start from scratch."""
    job = work / _JOB
    going_on = not settings.force and job.is_file() and job.read_text() == json.dumps(fingerprint)
    if going_on:
        for left in [*work.glob(f"*{TEMPORARY_SUFFIX}"), *faces.rglob(f"*{TEMPORARY_SUFFIX}")]:
            left.unlink()
        return
    shutil.rmtree(settings.output / REPORT, ignore_errors=True)  # first what calls it finished
    for old in [path for path in work.iterdir() if path.name != "lock"] + [
        settings.output / FACES,
        settings.output / RECORDS,
    ]:
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    write_file(job, json.dumps(fingerprint).encode())


def _align(task: Task, photos: list[tuple[bytes, bytes]], workers: int) -> list[Row]:
    """The rows of all photographs, by those that are noted and by workers for the others."""
    starts = range(0, len(photos), _SLICE)
    with (
        worker_pool(workers, start="spawn") as pool,
        Bar(total=len(photos), desc="Aligning", unit="photos") as bar,
    ):
        missing = [start for start in starts if read_note(note_path(task.notes, start)) is None]
        bar.update(len(photos) - sum(len(photos[start : start + _SLICE]) for start in missing))
        for future in as_completed(
            [pool.submit(align_slice, task, start, photos[start : start + _SLICE]) for start in missing]
        ):
            bar.update(future.result())
    return [row for start in starts for row in _noted(note_path(task.notes, start))]


def _noted(path: Path) -> list[Row]:
    rows = read_note(path)
    if rows is None:
        raise UserError(f"{path} was damaged meanwhile; run the command again.")
    return rows


def _convert(settings: Alignment, faces: Path, count: int) -> None:
    output = settings.output / RECORDS
    if (output / "_SUCCESS").exists():  # killed after that
        return
    parts, size = min(settings.num_part, count), settings.image_size
    convert(Settings(faces, output, parts, workers=settings.workers, format="folder", image_size=size))
