"""The library of calls.cpp, in a process that was started with it (`LD_PRELOAD`)."""

import ctypes
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("calls.cpp")
NONE, NOTE, FULL, BROKEN, KILLED = range(5)
MODES = {"full": FULL, "broken": BROKEN, "killed": KILLED}
_NEED_ROOM = ("open", "write", "mkdir", "rename", "exchange", "resize", "sync", "syncfs")


@dataclass(frozen=True)
class Call:
    """One that changed a file, or would have: `done` says whether it did. other: of a rename, the new name."""

    number: int
    name: str
    done: bool
    path: Path
    other: Path
    more: str

    def may_fail(self, mode: int) -> bool:
        """Whether a disk can fail like this here."""
        return self.name in _NEED_ROOM if mode == FULL else True


def start_with_library(folder: Path) -> None:
    """Starts this program again with the library, which is compiled into `folder`, if it was not started so."""
    if hasattr(ctypes.CDLL(None), "faults_arm"):
        return
    library = folder / "calls.so"
    command = ["g++", "-std=c++17", "-shared", "-fPIC", "-O1", "-w", str(_SOURCE), "-o", str(library), "-ldl"]
    subprocess.run(["timeout", "120", *command], check=True)
    os.environ["LD_PRELOAD"] = str(library)
    os.execv(sys.executable, [sys.executable, "-m", "tests.faults.run", *sys.argv[1:]])


def arm(root: Path, notes: Path, mode: int, number: int = 0) -> None:
    """From now on the calls of this process that concern files below `root` count; `number` of them fails."""
    ctypes.CDLL(None).faults_arm(os.fsencode(root), os.fsencode(notes), mode, ctypes.c_long(number))


def noted(notes: Path) -> list[Call]:
    """What a process noted down that was armed with NOTE."""
    calls = []
    for line in (notes / "calls").read_text().splitlines():
        number, name, done, path, other, more = line.split("\t")
        calls.append(Call(int(number), name, done == "1", Path(path), Path(other), more))
    return calls
