"""Runs a file of tests in a process of its own."""

import subprocess
import sys
from pathlib import Path

from tests.ranks import ROOT, rank_environment


def run_tests(path: str, timeout: float = 300) -> None:
    """Fails if a test of the file `path`, which pytest does not collect by itself, fails.

    For tests that run tiny compiled steps: a step that ends before OneFlow has noted that it began (`tests.ranks`)
    frees what was never there, and the process that it happens in may crash at any time after. One that a signal has
    ended gets one more try.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", path]
    for _ in range(2):
        done = subprocess.run(
            command, cwd=ROOT, env=rank_environment(), timeout=timeout, text=True, capture_output=True, check=False
        )
        if done.returncode >= 0:
            break
    assert done.returncode == 0, f"{Path(path).name} ended with {done.returncode}:\n{done.stdout[-4000:]}"
