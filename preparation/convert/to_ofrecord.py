"""A set of faces, in whatever it is kept -> a set of OFRecord parts.

Everything is judged first (`plan`), then each worker writes whole parts. What is done is noted (`job`), so that an
interrupted conversion goes on where it stopped, with the same bytes in the end. A set is finished when `dataset.json`
and `_SUCCESS` are there; they come last.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from data.images import Verdict, repair
from data.manifest import MANIFEST_NAME, SUCCESS_NAME, Manifest, Part
from data.ofrecord import PartWriter, part_name
from data.storage import copy_file, free_space, settle, store_failures, write_file
from preparation.convert.job import Job
from preparation.convert.plan import SKIPPED_NAME, Plan, judge_records, make_plan
from preparation.sources.formats import open_source
from preparation.sources.source import CLASSES_NAME, Reader, Source, class_lines
from preparation.workers import worker_pool
from utils.errors import UserError
from utils.files import show_size
from utils.progress import Bar

_RECORD_OVERHEAD = 64  # bytes around an image: OFRecord framing and the sidecar's entry, rounded up
_PARTS = 96  # if nothing else is asked for: enough for 96 ranks
_ENTRIES_AT_ONCE = 4096


@dataclass(frozen=True)
class Settings:
    """What decides the bytes of a conversion, and how to run it.

    Attributes:
        source: the set to convert, of the kind that `format` says.
        output: folder to write; made if it does not exist.
        num_part: parts to write, at most one per image; None: 96, or as many as there are images.
        shuffle: write the records in a random order (else in the order of their keys), which `seed` decides.
        workers: processes; they do not change the bytes.
        force: replace what is there.
        strict: refuse images that would be repaired or skipped.
        verify: decode every image fully.
        format: one of `sources.formats.FORMATS`.
        root: where the relative names of a list begin; None: in the list's folder.
        label: which member of a WebDataset's sample says who it is; None: found out.
        image_size: height and width of the images; None: as `sources.formats.open_source` says.
        scratch: where the list of a folder's images is kept meanwhile, for all workers to see; None: where temporary
            files go.
    """

    source: Path
    output: Path
    num_part: int | None = None
    shuffle: bool = True
    seed: int = 2048
    workers: int = 1
    force: bool = False
    strict: bool = False
    verify: bool = False
    format: str = "recordio"
    root: Path | None = None
    scratch: Path | None = None
    image_size: tuple[int, int] | None = None
    label: str | None = None


def convert(settings: Settings, pool: Callable[[int], AbstractContextManager[Executor]] = worker_pool) -> Manifest:
    """Convert a set; shows its progress on stderr.

    Args:
        pool: gives the processes, for as long as the context lasts; called with `settings.workers`.

    Returns:
        The manifest of the finished set, which is in `settings.output`.

    Raises:
        UserError: anything that the user can put right, from a missing file to a full disk.
    """
    for name in ("num_part", "workers"):
        number = getattr(settings, name)
        if number is not None and number < 1:
            raise UserError(f"--{name} must be at least 1, not {number}.")
    try:
        with (
            store_failures(settings.source, settings.output),
            open_source(
                settings.source,
                settings.format,
                settings.root,
                settings.scratch,
                settings.image_size,
                settings.label,
            ) as source,
        ):
            return _Conversion(settings, source).run(pool)
    except OSError as error:
        where = error.filename or settings.output
        raise UserError(f"Writing {where} failed: {error.strerror or error}.") from None


class _Conversion:
    """One run of the converter."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._settings = settings
        self._source = source
        self._output = settings.output
        self._job = Job(settings.output)

    def run(self, pool: Callable[[int], AbstractContextManager[Executor]]) -> Manifest:
        records = self._source.records()
        self._part_count(len(records))
        self._refuse_finished()
        with self._job.locked():
            parameters = self._parameters()
            self._job = self._job.named(parameters)
            counts = None if self._settings.force else self._job.resume(parameters)
            with pool(self._settings.workers) as executor:
                if counts is None:
                    self._job.clear(keep=self._source.beside())
                    with Bar(total=len(records), desc="Judging", unit="records") as bar:
                        entries = judge_records(
                            self._source.reader, records, self._settings.verify, executor, bar.update
                        )
                    counts = self._start(parameters, make_plan(entries, self._source, self._seed))
                    del entries
                del records
                if self._settings.strict and counts["first_fault"]:
                    raise UserError(
                        f"{self._source.path} has {counts['repaired']} image(s) to repair and "
                        f"{counts['skipped']} to skip ({counts['first_fault']}), which --strict forbids."
                    )
                parts = self._write_parts(counts["records"], executor)
            return self._finish(parameters, counts, parts)

    def _part_count(self, records: int) -> int:
        wanted = self._settings.num_part
        if wanted is not None and wanted > records:
            raise UserError(
                f"--num_part {wanted} is more than the {records} record(s) of {self._source.path}; "
                "each part needs at least one."
            )
        return wanted or min(_PARTS, records)

    def _refuse_finished(self) -> None:
        """Refuse to touch the source; and a finished set, or parts of other tools, without --force."""
        if self._source.is_changed_by(self._output):
            raise UserError(f"{self._output} cannot be written while {self._source.path} is read; write elsewhere.")
        if self._settings.force:
            return
        if (self._output / SUCCESS_NAME).exists() and (self._output / MANIFEST_NAME).exists():
            if self._job.folder.exists():  # of a conversion that ended before it had removed it
                self._job.end()
            raise UserError(f"{self._output} already holds a finished set; --force replaces it.")
        if not self._job.folder.is_dir() and any(self._output.glob("part-*")):
            raise UserError(f"{self._output} already holds parts of another tool; --force replaces them.")

    @property
    def _seed(self) -> int | None:
        """Of the order; None keeps the source's."""
        return self._settings.seed if self._settings.shuffle else None

    def _parameters(self) -> dict[str, object]:
        """What decides the bytes: only an unfinished job with equal parameters is continued."""
        settings = self._settings
        return {
            "source": self._source.fingerprint(),
            "num_part": settings.num_part or _PARTS,
            "shuffle": settings.shuffle,
            "seed": self._seed,
            "verify": settings.verify,
            "image_size": list(self._source.image_size),
        }

    def _start(self, parameters: dict[str, object], plan: Plan) -> dict:
        """Note the job and its plan on the disk; the returned counts are what a later run resumes with."""
        records = len(plan.entries)
        self._part_count(records)
        need = int(plan.entries["length"].sum(dtype=np.int64)) + records * _RECORD_OVERHEAD
        free = free_space(self._output)
        if free is not None and need > free:
            raise UserError(
                f"{self._output} needs {show_size(need)} for the parts but its disk has {show_size(free)} free."
            )
        counts = {
            "records": records,
            "repaired": plan.repaired,
            "skipped": len(plan.skipped),
            "first_fault": plan.first_fault,
        }
        self._job.start(parameters, counts, plan)
        return counts

    def _write_parts(self, records: int, executor: Executor) -> list[Part]:
        """Write the parts that are not there yet; all of them, in order."""
        parts: dict[str, Part] = {}
        count = self._part_count(records)
        with Bar(total=records, desc="Writing", unit="records") as bar:
            futures = [
                executor.submit(_write_part, self._source.reader, self._job, part_name(number), start, stop)
                for number, (start, stop) in enumerate(part_bounds(records, count))
            ]
            for future in as_completed(futures):
                part = future.result()
                parts[part.name] = part
                bar.update(part.records)
        return [parts[part_name(number)] for number in range(count)]

    def _finish(self, parameters: dict[str, object], counts: dict, parts: list[Part]) -> Manifest:
        """Add the other files, then declare it finished."""
        self._job.check()
        if self._parameters() != parameters:
            raise UserError(f"{self._source.path} changed during its conversion; run the command again.")
        for part in parts:
            path = self._output / part.name
            if not path.exists() or path.stat().st_size != part.bytes:
                raise UserError(f"{path} is not what was written; run the command again.")
        for path in self._source.beside():
            target = self._output / path.name
            if target.resolve() != path.resolve():
                copy_file(path, target)
        if counts["skipped"]:
            copy_file(self._job.folder / SKIPPED_NAME, self._output / SKIPPED_NAME)
        if self._source.class_names is not None:
            write_file(self._output / CLASSES_NAME, class_lines(self._source.class_names))
        manifest = Manifest(
            num_records=counts["records"],
            num_classes=self._source.num_classes,
            parts=parts,
            image_size=self._source.image_size,
            shuffle=self._settings.shuffle,
            seed=self._seed,
            repaired=counts["repaired"],
            skipped=counts["skipped"],
            source={"format": self._source.format, "files": parameters["source"]},
        )
        manifest.save(self._output)
        settle(self._output)  # all names are on the disk before the one that vouches for them
        (self._output / SUCCESS_NAME).touch()
        settle(self._output)
        with suppress(OSError):  # the set is finished, whatever cannot be removed
            self._job.end()
        return manifest


def part_bounds(records: int, parts: int) -> list[tuple[int, int]]:
    """Which records, (start, stop), each part holds: equal shares, the first `records % parts` hold one more."""
    share, more = divmod(records, parts)
    starts = [number * share + min(number, more) for number in range(parts + 1)]
    return list(pairwise(starts))


def _write_part(reader: Reader, job: Job, name: str, start: int, stop: int) -> Part:
    """Write one part, entries `start` to `stop` of the plan, unless an earlier run did."""
    finished = job.finished_part(name)
    if finished:
        return finished
    with PartWriter(job.output / name) as writer:
        for first in range(start, stop, _ENTRIES_AT_ONCE):
            some = job.entries(first, min(first + _ENTRIES_AT_ONCE, stop))
            for (label, verdict), image in zip(some[["label", "verdict"]].tolist(), reader.read(some), strict=True):
                writer.add(image if verdict == Verdict.GOOD else repair(image), int(label))
        job.check()
        writer.commit()
    part = Part(name, stop - start, writer.bytes, writer.crc32)
    job.note_part(part)
    return part
