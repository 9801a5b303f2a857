"""A set of faces, in whatever it is kept -> a set of OFRecord parts.

Everything is judged first (`convert_plan`), then each worker writes whole parts. What is done is noted in a job folder
inside the output, so that an interrupted conversion goes on where it stopped, with the same bytes in the end. A set is
finished when `dataset.json` and `_SUCCESS` are there; they come last.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data.convert_plan import Plan, judge_records, make_plan, write_skipped
from data.images import Verdict, repair
from data.manifest import MANIFEST_NAME, SUCCESS_NAME, Manifest, Part
from data.ofrecord import TEMPORARY_SUFFIX, PartWriter, file_crc32, index_path, part_name
from data.sources.formats import open_source
from data.sources.source import CLASSES_NAME, Reader, Source, class_lines
from data.workers import worker_pool
from utils.errors import UserError
from utils.files import sync

SKIPPED_NAME = "skipped.csv"
_JOB_FOLDER = "_converting"
_RECORD_OVERHEAD = 64  # bytes around an image: OFRecord framing and the sidecar's entry, rounded up
_ENTRIES_AT_ONCE = 4096


@dataclass(frozen=True)
class Settings:
    """What decides the bytes of a conversion, and how to run it.

    Attributes:
        source: the set to convert, of the kind that `format` says.
        output: folder to write; made if it does not exist.
        num_part: parts to write, at most one per image.
        shuffle: write the records in a random order (else in the order of their keys), which `seed` decides.
        workers: processes; they do not change the bytes.
        force: replace what is there.
        strict: refuse images that would be repaired or skipped.
        verify: decode every image fully.
        format: one of `sources.formats.FORMATS`.
        root: where the relative names of a list begin; None: in the list's folder.
    """

    source: Path
    output: Path
    num_part: int = 96
    shuffle: bool = True
    seed: int = 2048
    workers: int = 1
    force: bool = False
    strict: bool = False
    verify: bool = False
    format: str = "recordio"
    root: Path | None = None


def convert(settings: Settings) -> Manifest:
    """Convert a set; shows its progress on stderr.

    Returns:
        The manifest of the finished set, which is in `settings.output`.

    Raises:
        UserError: anything that the user can put right, from a missing file to a full disk.
    """
    for name in ("num_part", "workers"):
        if getattr(settings, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(settings, name)}.")
    try:
        with open_source(settings.source, settings.format, settings.root) as source:
            return _Conversion(settings, source).run()
    except OSError as error:
        where = error.filename or settings.output
        raise UserError(f"Writing {where} failed: {error.strerror}.") from None


class _Conversion:
    """One run of the converter."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self._output = settings.output
        self._job = settings.output / _JOB_FOLDER

    def run(self) -> Manifest:
        records = self._source.records()
        if self._settings.num_part > len(records):
            raise self._too_many_parts(len(records))
        self._refuse_finished()
        self._job.mkdir(parents=True, exist_ok=True)
        with self._locked():
            parameters = self._parameters()
            counts = self._resume(parameters)
            with worker_pool(self._settings.workers) as pool:
                if counts is None:
                    with tqdm(total=len(records), desc="Judging", unit="rec", smoothing=0) as bar:
                        entries = judge_records(self._source.reader, records, self._settings.verify, pool, bar.update)
                    seed = self._settings.seed if self._settings.shuffle else None
                    counts = self._start(parameters, make_plan(entries, self._source, seed))
                    del entries
                del records
                if self._settings.strict and counts["first_fault"]:
                    raise UserError(
                        f"{self._source.path} has {counts['repaired']} image(s) to repair and "
                        f"{counts['skipped']} to skip ({counts['first_fault']}), which --strict forbids."
                    )
                parts = self._write_parts(counts["records"], pool)
            return self._finish(parameters, counts, parts)

    def _too_many_parts(self, records: int) -> UserError:
        return UserError(
            f"--num_part {self._settings.num_part} is more than the {records} record(s) of {self._source.path}; "
            "each part needs at least one."
        )

    def _refuse_finished(self) -> None:
        """Refuse to touch the source; and a finished set, or parts of other tools, without --force."""
        if self._source.is_changed_by(self._output):
            raise UserError(f"{self._output} cannot be written while {self._source.path} is read; write elsewhere.")
        if self._settings.force:
            return
        if (self._output / SUCCESS_NAME).exists() and (self._output / MANIFEST_NAME).exists():
            raise UserError(f"{self._output} already holds a finished set; --force replaces it.")
        if not self._job.is_dir() and any(self._output.glob("part-*")):
            raise UserError(f"{self._output} already holds parts of another tool; --force replaces them.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other conversions out of the output folder. The lock ends with this process, however that ends."""
        with open(self._job / "lock", "w") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: workers would inherit it
            except (BlockingIOError, PermissionError):  # which of them, POSIX leaves open
                raise UserError(f"Another conversion is writing into {self._output}.") from None
            try:
                yield
            finally:
                for left in self._output.glob(f"*{TEMPORARY_SUFFIX}"):  # of workers that were ended in their tasks
                    left.unlink()

    def _parameters(self) -> dict[str, object]:
        """What decides the bytes: only an unfinished job with equal parameters is continued."""
        settings = self._settings
        return {
            "source": self._source.fingerprint(),
            "num_part": settings.num_part,
            "shuffle": settings.shuffle,
            "seed": settings.seed if settings.shuffle else None,
            "verify": settings.verify,
        }

    def _resume(self, parameters: dict[str, object]) -> dict | None:
        """The counts of the plan that an interrupted run of this very job left behind; else clear the output, None."""
        try:
            job = json.loads((self._job / "job.json").read_text())
        except (FileNotFoundError, ValueError):
            job = {}
        unfinished = not (self._output / SUCCESS_NAME).exists()
        if unfinished and not self._settings.force and job.get("parameters") == parameters:
            return job["counts"]
        # First what calls the set finished, so that it never is called so without being so.
        names = [SUCCESS_NAME, MANIFEST_NAME, SKIPPED_NAME]
        if (self._output / CLASSES_NAME).resolve() not in [path.resolve() for path in self._source.beside()]:
            names.append(CLASSES_NAME)
        stale = [self._output / name for name in names] + [self._job / "job.json"]
        stale += [*self._output.glob("part-*"), *self._job.glob("part-*")]
        for path in stale:
            path.unlink(missing_ok=True)
        return None

    def _start(self, parameters: dict[str, object], plan: Plan) -> dict:
        """Note the job and its plan on the disk; the returned counts are what a later run resumes with."""
        settings, records = self._settings, len(plan.entries)
        if settings.num_part > records:
            raise self._too_many_parts(records)
        counts = {
            "records": records,
            "repaired": plan.repaired,
            "skipped": len(plan.skipped),
            "first_fault": plan.first_fault,
        }
        need = int(plan.entries["length"].sum(dtype=np.int64)) + records * _RECORD_OVERHEAD
        free = shutil.disk_usage(self._output).free
        if need > free:
            raise UserError(
                f"{self._output} needs {need / 1e9:.1f} GB for the parts but its disk has {free / 1e9:.1f} GB free."
            )
        write_skipped(self._job / SKIPPED_NAME, plan.skipped)
        np.save(self._job / "plan.npy", plan.entries)
        _write_json(self._job / "job.json", {"parameters": parameters, "counts": counts})
        return counts

    def _write_parts(self, records: int, pool: Executor) -> list[Part]:
        """Write the parts that are not there yet; all of them, in order."""
        settings = self._settings
        bounds = part_bounds(records, settings.num_part)
        parts: dict[str, Part] = {}
        with tqdm(total=records, desc="Writing", unit="rec", smoothing=0) as bar:
            futures = [
                pool.submit(_write_part, self._source.reader, self._output, self._job, number, start, stop)
                for number, (start, stop) in enumerate(bounds)
            ]
            for future in as_completed(futures):
                part = future.result()
                parts[part.name] = part
                bar.update(part.records)
        return [parts[part_name(number)] for number in range(settings.num_part)]

    def _finish(self, parameters: dict[str, object], counts: dict, parts: list[Part]) -> Manifest:
        """Add the other files, then declare it finished."""
        if self._parameters() != parameters:
            raise UserError(f"{self._source.path} changed during its conversion; run the command again.")
        made = [self._job / SKIPPED_NAME] if counts["skipped"] else []
        if self._source.class_names is not None:
            made.append(self._job / CLASSES_NAME)
            made[-1].write_bytes(class_lines(self._source.class_names))
        for path in [*self._source.beside(), *made]:
            target = self._output / path.name
            if not (target.exists() and target.samefile(path)):
                temporary = target.with_name(target.name + TEMPORARY_SUFFIX)
                shutil.copyfile(path, temporary)
                sync(temporary)
                os.replace(temporary, target)
        manifest = Manifest(
            num_records=counts["records"],
            num_classes=self._source.num_classes,
            parts=parts,
            shuffle=self._settings.shuffle,
            seed=parameters["seed"],
            repaired=counts["repaired"],
            skipped=counts["skipped"],
            source={"format": self._source.format, "files": parameters["source"]},
        )
        manifest.save(self._output)
        sync(self._output / MANIFEST_NAME)
        sync(self._output)  # all names are on the disk before the one that vouches for them
        (self._output / SUCCESS_NAME).touch()
        sync(self._output)
        shutil.rmtree(self._job)
        return manifest


def part_bounds(records: int, parts: int) -> list[tuple[int, int]]:
    """Which records, (start, stop), each part holds: equal shares, the first `records % parts` hold one more."""
    share, more = divmod(records, parts)
    starts = [number * share + min(number, more) for number in range(parts + 1)]
    return list(pairwise(starts))


def _write_part(reader: Reader, output: Path, job: Path, number: int, start: int, stop: int) -> Part:
    """Write part `number`, entries `start` to `stop` of the plan, unless an earlier run did."""
    path = output / part_name(number)
    note = job / f"{path.name}.json"
    finished = _finished_part(path, note)
    if finished:
        return finished
    entries = np.load(job / "plan.npy", mmap_mode="r")[start:stop]
    with PartWriter(path) as writer:
        for first in range(0, len(entries), _ENTRIES_AT_ONCE):
            some = entries[first : first + _ENTRIES_AT_ONCE]
            for (label, verdict), image in zip(some[["label", "verdict"]].tolist(), reader.read(some), strict=True):
                writer.add(image if verdict == Verdict.GOOD else repair(image), int(label))
        writer.commit()
    part = Part(path.name, stop - start, writer.bytes, writer.crc32)
    _write_json(note, asdict(part))
    return part


def _finished_part(path: Path, note: Path) -> Part | None:
    """The part that `note` describes, if its bytes are still the ones described."""
    try:
        part = Part(**json.loads(note.read_text()))
        return part if file_crc32(path) == part.crc32 and index_path(path).exists() else None
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write_json(path: Path, content: dict) -> None:
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    temporary.write_text(json.dumps(content) + "\n")
    os.replace(temporary, path)
