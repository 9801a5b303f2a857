"""Runs a few steps of a config in fresh processes, under a memory limit, and says what they took."""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planning.memory import available, held, own_bytes
from utils.errors import UserError

_ROOT = Path(__file__).resolve().parents[1]
_POLL_SECONDS = 0.05
_RESERVE = 1 << 30  # bytes left to the rest of the machine
_NO_MEMORY = re.compile(
    r"MemoryError|bad_alloc|out of memory(?!\?)|allocate failed|Cannot allocate memory|cudaErrorMemoryAllocation|"
    r"(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Measured:
    """What the ranks of a run took. Bytes are the largest of any rank."""

    device: str
    step_seconds: float  # the median of the steps
    head_share: float | None  # of the step: what it takes longer than the backbone alone
    peak: int  # memory of its own on the host; not the pages of files, which libraries and centers in files are
    card: int | None  # memory of the card, as nvidia-smi says
    base: int  # the same before the trainer was built: Python and OneFlow


@dataclass(frozen=True)
class OutOfMemory:
    """Why a run ended; peak: the most that a rank was seen to hold, in bytes."""

    reason: str
    peak: int


def measure(
    config: str | Path,
    overrides: Sequence[str],
    ranks: int,
    steps: int = 3,
    warmup: int = 1,
    backbone: bool = False,
    limit: int | None = None,
    timeout: float = 3600,
) -> Measured | OutOfMemory:
    """Trains `config` with `overrides` on synthetic data; it must say how many classes there are.

    backbone: also times the backbone alone, to tell the head's share. limit: bytes that each rank may hold on the
    host. It is watched from outside, twenty times a second, and the run killed where a rank holds more; VmHWM shows
    what was missed between two looks. (RLIMIT_AS would count some GB that OneFlow reserves and never uses, RLIMIT_DATA
    what is allocated and not yet touched.) A run is also ended before the machine itself has no memory left.

    Raises UserError where a run fails for another reason than memory.
    """
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        orders = Path(folder, "orders.json")
        fixed = ["synthetic=True", "val_targets=()", f"output={folder}/output", "resume=False", "pretrained=None"]
        fixed += ["num_image=100000000", "pretrained_head=None"]
        described = {"config": str(config), "overrides": [*overrides, *fixed], "backbone": backbone}
        described["folder"] = os.getcwd()  # from which their relative paths are meant
        orders.write_text(json.dumps(described | {"steps": steps, "warmup": warmup}))
        mapped = any(argument == "head_store=mmap" for argument in overrides)
        with Path(folder, "output.txt").open("w+b") as output:
            status, stopped, peak = _watch(ranks, orders, output, limit, timeout)
            output.seek(0)
            said = output.read().decode(errors="replace")
        if stopped:
            return OutOfMemory(stopped, peak)
        if status == 0:
            figures = [json.loads(orders.with_name(f"rank-{rank}.json").read_text()) for rank in range(ranks)]
            measured = _summary(figures, mapped)
            if limit and measured.peak > limit:
                return OutOfMemory("it held more than its limit", measured.peak)
            return measured
        shortage = memory_shortage(status, said)
        if shortage:
            return OutOfMemory(shortage, peak)
        lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"]
        errors = [line for line in lines if re.search(r"error: |\w+(Error|Exception)\b", line)] or lines
        reason = re.sub(r"^(\[rank \d+\] )?error: ", "", errors[-1])
        raise UserError(f"the run failed with exit status {status}: {reason}")


def memory_shortage(status: int, said: str) -> str | None:
    """Why a run that ended with this exit status and output ran out of memory, or None where it did not."""
    match = _NO_MEMORY.search(said)  # NumPy's, C++'s, OneFlow's and CUDA's words for it
    if match:
        return f'it said "{match[0]}"'
    return "it was killed" if status == 128 + signal.SIGKILL or "was ended by SIGKILL" in said else None


def _watch(ranks: int, orders: Path, output, limit: int | None, timeout: float):
    """Runs the launcher to its end; (exit status, why it was stopped or None, the most a rank held)."""
    command = [sys.executable, "-m", "launch", "--nproc", str(ranks), "planning/rank.py", str(orders)]
    environ = {"GLOG_minloglevel": "2", **os.environ}
    launcher = subprocess.Popen(command, cwd=_ROOT, env=environ, stdout=output, stderr=subprocess.STDOUT)
    peak, stopped, start = 0, None, time.monotonic()
    try:
        while launcher.poll() is None:
            peak = max([peak, *(_counted(pid) for pid in _children(launcher.pid))])
            if limit and peak > limit:
                stopped = "it held more than its limit"
            elif available() < _RESERVE:
                stopped = "the machine had no memory left"
            if stopped:
                break
            if time.monotonic() - start > timeout:
                raise UserError(f"a run of {ranks} rank(s) took longer than {timeout:.0f} s and was ended")
            time.sleep(_POLL_SECONDS)
    finally:
        launcher.kill()  # the kernel then kills its ranks
        launcher.wait()
    return launcher.returncode, stopped, peak


def _children(pid: int) -> list[int]:
    try:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _counted(pid: int) -> int:
    try:
        return own_bytes(held(pid))
    except OSError:
        return 0


def _summary(figures: list[dict], mapped: bool) -> Measured:
    step = statistics.median(max(times) for times in zip(*(rank["seconds"] for rank in figures), strict=True))
    share = None
    if "backbone_seconds" in figures[0]:
        alone = zip(*(rank["backbone_seconds"] for rank in figures), strict=True)
        share = max(0.0, 1 - statistics.median(max(times) for times in alone) / step)
    # The kernel's peak counts pages of files too: libraries' stay, those of centers in files come and go.
    peaks = [max(r["resident"]) if mapped else r["peak"] - r["files"] for r in figures]
    cards = [rank["card"] for rank in figures if rank["card"]]
    return Measured(
        figures[0]["device"], step, share, max(peaks), max(cards, default=None), max(rank["base"] for rank in figures)
    )
