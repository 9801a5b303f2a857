"""What a conversion has decided and done, noted in a folder inside its output so that a later run goes on there."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.convert_plan import Plan, skipped_lines
from data.manifest import MANIFEST_NAME, SUCCESS_NAME, Part
from data.ofrecord import file_crc32, index_path
from data.sources.source import CLASSES_NAME, ENTRY_DTYPE
from data.storage import TEMPORARY_SUFFIX, RangeReader, is_local, remove_folder, write_file
from utils.errors import UserError

SKIPPED_NAME = "skipped.csv"
_PLAN_NAME, _JOB_NAME = "plan", "job.json"


@dataclass(frozen=True)
class Job:
    """The conversion that writes into the folder `output`; every process of it has one.

    Its methods raise OSError where the disk or the store fails.
    """

    output: Path

    @property
    def folder(self) -> Path:
        return self.output / "_converting"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other conversions out of the output folder. The lock ends with this process, however that ends.

        Only a file system has locks: of two conversions into one folder of a store, the second removes what the first
        has written, unless they are the same, and then they write the same.

        Raises:
            UserError: another conversion has the lock.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not is_local(self.folder):
            yield
            self._clean()
            return
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
            job = json.loads((self.folder / _JOB_NAME).read_text())
        except (FileNotFoundError, ValueError):
            return None
        unfinished = not (self.output / SUCCESS_NAME).exists()
        return job["counts"] if unfinished and job.get("parameters") == parameters else None

    def clear(self, keep: list[Path]) -> None:
        """Remove the set that the output holds, and what an unfinished run noted, but not the files of `keep`."""
        # First what calls the set finished, so that it never is called so without being so.
        stale = [self.output / name for name in (SUCCESS_NAME, MANIFEST_NAME, SKIPPED_NAME)]
        if (self.output / CLASSES_NAME).resolve() not in [path.resolve() for path in keep]:
            stale.append(self.output / CLASSES_NAME)
        stale += [self.folder / _JOB_NAME, *self.output.glob("part-*"), *self.folder.glob("part-*")]
        for path in stale:
            path.unlink(missing_ok=True)

    def start(self, parameters: dict[str, object], counts: dict, plan: Plan) -> None:
        """Note the plan; from now on a later run can resume it."""
        write_file(self.folder / SKIPPED_NAME, skipped_lines(plan.skipped))
        write_file(self.folder / _PLAN_NAME, plan.entries.data.cast("B"))
        write_file(self.folder / _JOB_NAME, json.dumps({"parameters": parameters, "counts": counts}).encode())

    def entries(self, start: int, stop: int) -> np.ndarray:
        """Entries `start` to `stop` of the plan: (stop - start,) of `ENTRY_DTYPE`."""
        size = ENTRY_DTYPE.itemsize
        with RangeReader(self.folder / _PLAN_NAME) as file:
            return np.frombuffer(file.read(start * size, (stop - start) * size), ENTRY_DTYPE)

    def finished_part(self, name: str) -> Part | None:
        """The part that was noted under this name, if its bytes are still the ones described."""
        path = self.output / name
        try:
            part = Part(**json.loads(self._note(name).read_text()))
            return part if file_crc32(path) == part.crc32 and index_path(path).exists() else None
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def note_part(self, part: Part) -> None:
        """Note that a part is written."""
        write_file(self._note(part.name), json.dumps(asdict(part)).encode())

    def end(self) -> None:
        """Remove the folder."""
        remove_folder(self.folder)

    def _note(self, part: str) -> Path:
        return self.folder / f"{part}.json"
