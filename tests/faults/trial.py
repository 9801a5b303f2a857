"""One failure of a writer, and what became of it."""

import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from preparation.workers import garbage_kept
from tests.faults.calls import KILLED, NONE, NOTE, Call, arm, noted
from tests.faults.disk import Disk
from tests.faults.writer import Writer
from utils.cli import run_cli

HELD = "held"
FAULTS = ("traceback", "status", "unnamed", "silent", "lost", "stuck", "litter", "hang")
_SECONDS = 60.0


class Trials:
    """A writer's, in a folder of their own: first one without a failure, which says what must be there in the end."""

    def __init__(self, writer: Writer, folder: Path) -> None:
        self._writer, self._before, self._work, self._notes = (
            writer, folder / "before", folder / "work", folder / "notes",
        )  # fmt: skip
        self._before.mkdir(parents=True)
        writer.make(self._before)
        self._begin()
        self._notes.mkdir()
        status, said = self._run(NOTE)
        if status:
            raise RuntimeError(f"{writer.name} fails without a failure: {status} {said}")
        self.calls: list[Call] = noted(self._notes)
        self._found = {"before": writer.read(self._before), "after": writer.read(self._work)}
        if self._found["before"] == self._found["after"]:
            raise RuntimeError(f"{writer.name} changes nothing that is read")
        self._names = _names(self._work)

    def fail(self, mode: int, number: int) -> tuple[str, str]:
        """Has call `number` fail; HELD or one of FAULTS, and what was said of it."""
        self._begin()
        status, said = self._run(mode, number)
        if status is None:
            return "hang", said
        if mode == KILLED:
            if status != -signal.SIGKILL:
                return "status", f"{status}, not killed: {said}"
        elif "Traceback" in said:
            return "traceback", said
        elif status not in (0, 2):
            return "status", f"{status}: {said}"
        elif status == 2 and not self._is_sentence(said):
            return "unnamed", said
        return self._judge(must_be_done=status == 0)

    def cut(self, number: int, variant: str) -> tuple[str, str]:
        """Cuts the power before call `number`, or after the last one."""
        disk = Disk(self._before, self._work)
        for call in self.calls[:number]:
            disk.apply(call, self._notes)
        shutil.rmtree(self._work, ignore_errors=True)
        disk.write(self._work, variant)
        return self._judge(must_be_done=number == len(self.calls))

    def _judge(self, must_be_done: bool) -> tuple[str, str]:
        """What stands, and whether the next run goes on from there and leaves nothing else."""
        try:
            found = self._writer.read(self._work)
        except Exception:
            return "lost", traceback.format_exc()
        if found not in self._found.values():
            return "lost", f"it holds neither what was before nor what is new: {found}"
        if must_be_done and found != self._found["after"]:
            return "silent", "it ended well, and what is new is not there"
        status, said = self._run(NONE)
        if status:
            return "stuck", f"the next run: {status} {said}"
        if self._writer.read(self._work) != self._found["after"]:
            return "stuck", "after the next run there is something else"
        if more := _names(self._work) ^ self._names:
            return "litter", f"after the next run: {sorted(more)}"
        return HELD, ""

    def _begin(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._before, self._work)

    def _run(self, mode: int, number: int = 0) -> tuple[int | None, str]:
        """The exit status of the writer in a process of its own, None if it hangs, and what it printed."""
        said = self._notes.with_name("said.txt")
        with garbage_kept(), said.open("wb") as file:
            sys.stdout.flush()
            child = os.fork()
            if not child:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
                _end_with(lambda: self._armed(mode, number))
        deadline = time.monotonic() + _SECONDS
        while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return None, said.read_text(errors="replace")
            time.sleep(0.002)
        return os.waitstatus_to_exitcode(ended[1]), said.read_text(errors="replace")

    def _armed(self, mode: int, number: int) -> None:
        sys.argv = ["writer"]
        arm(self._work, self._notes, mode, number)
        try:
            run_cli(lambda _: self._writer.write(self._work))
        finally:
            arm(self._work, self._notes, NONE)

    def _is_sentence(self, said: str) -> bool:
        """Whether it is one line that names a file."""
        lines = [line for line in said.replace("\r", "\n").splitlines() if line.strip() and "rec/s]" not in line]
        return len(lines) == 1 and lines[0].startswith("error: ") and str(self._work) in lines[0]


def _end_with(run: Callable[[], None]) -> None:
    """Ends this process, a fork, with the status that `run` exits with: nothing of the parent's is cleaned up."""
    status = 1
    try:
        run()
        status = 0
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
