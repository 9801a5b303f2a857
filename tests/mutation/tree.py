"""A copy of the repository, in which a fault is planted and taken out again; the repository itself stays as it is."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.mutation.faults import Fault
from tests.ranks import ROOT, rank_environment

_NOT_OURS = (".git", ".venv", ".uv", "__pycache__", ".*_cache", "work_dirs", "demo_data", "datasets")
_PYTEST = ("-m", "pytest", "-o", "addopts=", "-x", "-q", "-p", "no:cacheprovider")
PASSED, NONE_FOUND = 0, 5  # exit statuses of pytest


class Tree:
    """The repository in `folder`, which is made."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_OURS), symlinks=True)
        if (ROOT / ".venv").exists():
            (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
        self._plantings = 0

    def modules(self, room: str) -> list[Path]:
        """The files of a room, or the one file that it names, relative to the tree."""
        path = self.root / room
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        return [file.relative_to(self.root) for file in files]

    def mirror(self, room: str) -> str:
        """The folder of the tests of a room, or of the room that a file is in."""
        return f"tests/{room if (self.root / room).is_dir() else Path(room).parts[0]}"

    def tests(self, places: Sequence[str]) -> list[Path]:
        """The files of tests in these files and folders, relative to the tree."""
        paths = [self.root / place for place in places]
        files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("test_*.py")))]
        return [file.relative_to(self.root) for file in files]

    def nearest_first(self, module: Path, tests: Sequence[Path], only_nearest: bool = False) -> list[Path]:
        """Those tests first that have the file's name, or name it: most faults are found there."""
        dotted = re.compile(rf"\b{re.escape('.'.join(module.with_suffix('').parts))}\b")

        def near(test: Path) -> int:
            same = test.stem.removeprefix("test_") == module.stem
            return 2 * same + bool(dotted.search((self.root / test).read_text()))

        ordered = sorted(tests, key=near, reverse=True)
        nearest = [test for test in ordered if near(test)] if only_nearest else []
        return nearest or ordered

    @contextmanager
    def planted(self, module: Path, fault: Fault) -> Iterator[None]:
        path = self.root / module
        text, times = path.read_bytes(), path.stat()
        path.write_bytes(fault.planted(text))
        # Python compares seconds and sizes with those of what it has compiled: no two faults may have the same.
        self._plantings += 1
        os.utime(path, (times.st_atime, times.st_mtime + self._plantings))
        try:
            yield
        finally:
            path.write_bytes(text)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def run(self, tests: Sequence[Path], seconds: float, *, compile_files: bool = False) -> tuple[int | None, str]:
        """pytest's exit status up to the first test that fails, None after so many seconds; what it printed."""
        environ = rank_environment() | {"PYTHONPATH": str(self.root), "OPENBLAS_NUM_THREADS": "1"}
        environ |= {} if compile_files else {"PYTHONDONTWRITEBYTECODE": "1"}
        # timeout ends with the whole group of what it has started, ranks and workers too.
        command = ["timeout", "--kill-after=5", str(seconds), sys.executable, *_PYTEST, *map(str, tests)]
        done = subprocess.run(
            command, cwd=self.root, env=environ, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return None if done.returncode in (124, 137) else done.returncode, done.stdout
