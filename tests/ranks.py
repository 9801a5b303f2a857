"""Runs programs of the repository on several ranks, as the scripts do."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RANK = "tests/rank.py"

# OneFlow, once imported here, has set these to a run of this process alone; its port is anybody's by now.
_OWN_RUN = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK")


def rank_environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _OWN_RUN}
    return {**inherited, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "2", "PYTHONPATH": str(ROOT)}


_LOST_RACE = ("was ended by SIGSEGV", "free(): invalid pointer")


def launch_command(ranks: int, script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "launch", "--nproc", str(ranks), RANK, script, *arguments]


def run_ranks(
    ranks: int,
    script: str,
    *arguments: str,
    timeout: float = 300,
    status: int = 0,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Runs `script` (a path in the repository) on `ranks` CPU processes; returns what they printed.

    Fails if the exit status is not `status`. environment: variables besides `rank_environment`. At the timeout the
    launcher is killed, and the kernel kills its ranks with it.

    OneFlow 0.9.0 hands a compiled step to its actors before it notes down that it has (lazy_job_instruction_policy.h):
    a step that ends first, as those of a few numbers may on a busy machine, takes the note from an empty queue, and the
    process is gone, or frees what was never there. So a rank that ends like this gets one more try; steps of real
    networks take far too long for that.
    """
    for _ in range(2):
        done = subprocess.run(
            launch_command(ranks, script, *arguments),
            cwd=ROOT, env=rank_environment() | dict(environment or {}), timeout=timeout, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if done.returncode == status or not any(sign in done.stdout for sign in _LOST_RACE):
            break
    assert done.returncode == status, f"{ranks} ranks exited with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout
