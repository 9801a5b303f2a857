"""What a conversion has decided and done, noted in a folder inside its output so that a later run goes on there."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from data.manifest import MANIFEST_NAME, SUCCESS_NAME, Part
from data.ofrecord import file_crc32, index_path
from data.storage import TEMPORARY_SUFFIX, RangeReader, is_local, remove_folder, write_file
from preparation.convert.plan import SKIPPED_NAME, Plan, skipped_lines
from preparation.sources.source import CLASSES_NAME, ENTRY_DTYPE
from utils.errors import UserError
from utils.files import make_folder
from utils.reading.json_file import read_object

_PLAN_NAME, _JOB_NAME = "plan", "job.json"


@dataclass(frozen=True)
class Job:
    """The conversion that writes into the folder `output`; every process of it has one.

    Its methods raise OSError where the disk or the store fails.

    name: of what decides its bytes. A task of a cluster may outlive its conversion, and must not take its parts for
    those of the next one.
    """

    output: Path
    name: str = ""

    def named(self, parameters: dict[str, object]) -> Job:
        """The job of these parameters."""
        return replace(self, name=hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16])

    @property
    def folder(self) -> Path:
        return self.output / "_converting"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other conversions out of the output folder. The lock ends with this process, however that ends.

        Only a file system has locks: in a folder of a store a second conversion takes over, and the first one is
        refused what it still wants to write, unless they are the same, and then they write the same.

        Raises:
            UserError: another conversion has the lock.
        """
        if not is_local(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                yield
            finally:
                self._clean()
            return
        make_folder(self.folder)
        with open(self.folder / "lock", "w") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock: workers would inherit it
            except (BlockingIOError, PermissionError):  # which of them, POSIX leaves open
                raise UserError(f"Another conversion is writing into {self.output}.") from None
            try:
                yield
            finally:
                self._clean()

    def _clean(self) -> None:
        """Remove what workers that were ended in their tasks have left."""
        for left in [*self.output.glob(f"*{TEMPORARY_SUFFIX}"), *self.folder.glob(f"*{TEMPORARY_SUFFIX}")]:
            left.unlink(missing_ok=True)

    def resume(self, parameters: dict[str, object]) -> dict | None:
        """The counts that `start` noted, if an unfinished run with these very parameters did."""
        try:
            job = read_object(self.folder / _JOB_NAME, "is damaged")
        except (FileNotFoundError, UserError):  # a new conversion is begun
            return None
        unfinished = not (self.output / SUCCESS_NAME).exists()
        counts = job.get("counts") if unfinished and job.get("parameters") == parameters else None
        return counts if isinstance(counts, dict) else None

    def clear(self, keep: list[Path]) -> None:
        """Remove the set that the output holds, and what an unfinished run noted, but not the files of `keep`."""
        # First what calls the set finished, so that it never is called so without being so.
        stale = [self.output / name for name in (SUCCESS_NAME, MANIFEST_NAME, SKIPPED_NAME)]
        if (self.output / CLASSES_NAME).resolve() not in [path.resolve() for path in keep]:
            stale.append(self.output / CLASSES_NAME)
        notes = [self.folder / _JOB_NAME, *self.folder.glob(f"{_PLAN_NAME}*"), *self.folder.glob("part-*")]
        stale += [*notes, *self.output.glob("part-*")]
        for path in stale:
            path.unlink(missing_ok=True)

    def start(self, parameters: dict[str, object], counts: dict, plan: Plan) -> None:
        """Note the plan; from now on a later run can resume it."""
        write_file(self.folder / SKIPPED_NAME, skipped_lines(plan.skipped))
        write_file(self._plan, plan.entries.data.cast("B"))
        write_file(self.folder / _JOB_NAME, json.dumps({"parameters": parameters, "counts": counts}).encode())

    def entries(self, start: int, stop: int) -> np.ndarray:
        """Entries `start` to `stop` of the plan: (stop - start,) of `ENTRY_DTYPE`."""
        size = ENTRY_DTYPE.itemsize
        with RangeReader(self._plan) as file:
            (content,) = file.read_many([start * size], [(stop - start) * size])  # no more than this
        return np.frombuffer(content, ENTRY_DTYPE)

    def check(self) -> None:
        """Raises UserError where another conversion writes into the output by now."""
        if not self._plan.exists():
            raise UserError(f"Another conversion has taken over {self.output}.")

    def finished_part(self, name: str) -> Part | None:
        """The part that was noted under this name, if its bytes are still the ones described."""
        path = self.output / name
        try:
            part = Part(**read_object(self._note(name), "is damaged"))
            same = part.name == name and file_crc32(path) == part.crc32 and path.stat().st_size == part.bytes
            return part if same and index_path(path).exists() else None
        except (FileNotFoundError, UserError, TypeError):  # it is written again
            return None

    def note_part(self, part: Part) -> None:
        """Note that a part is written."""
        write_file(self._note(part.name), json.dumps(asdict(part)).encode())

    def end(self) -> None:
        """Remove the folder."""
        remove_folder(self.folder)

    @property
    def _plan(self) -> Path:
        return self.folder / f"{_PLAN_NAME}.{self.name}"

    def _note(self, part: str) -> Path:
        return self.folder / f"{part}.{self.name}.json"
