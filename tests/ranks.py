"""Runs a piece of a test on several ranks: `run_ranks(2, "tests/engine/some_worker.py", ...)`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_ranks(ranks: int, script: str, *arguments: str, timeout: float = 300, status: int = 0) -> str:
    """Runs `script` (a path in the repository) on `ranks` CPU processes; returns what they printed.

    Fails where the exit status is not `status`.
    """
    command = [sys.executable, "-m", "utils.launch", "--nproc", str(ranks), script, *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=ROOT, env=env, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert done.returncode == status, f"{ranks} ranks exited with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout
