"""Runs tasks in children, one after the other: each that dies or hangs is replaced for the tasks that are left."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

from tests.fuzz.judge import HANG, SIGNAL

_REPO = Path(__file__).resolve().parents[2]
_START = 120.0  # seconds in which a child has imported what it needs


def run_tasks(tasks: list[dict], seconds: float = 30.0) -> Iterator[tuple[dict, str, str]]:
    """Each task with what became of it and what was said. seconds: after which a task hangs."""
    left = list(tasks)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        while left:
            done = 0
            for result in _one_child(left, Path(folder), seconds):
                done += 1
                yield result
            left = left[done:]


def _one_child(tasks: list[dict], folder: Path, seconds: float) -> Iterator[tuple[dict, str, str]]:
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.child", str(folder)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "3"}
    with (folder / "stderr.txt").open("w+b") as errors:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, cwd=_REPO, env=environ
        )
        Thread(target=_feed, args=(child.stdin, tasks), daemon=True).start()
        begun, limits, seen = None, [_START], {None}
        try:
            for line in _lines(child.stdout, limits):
                if line is None:
                    child.kill()
                    child.wait()
                    yield begun or tasks[0], HANG, f"more than {limits[-1]:.0f} s"
                    return
                found = json.loads(line)
                if "broken" in found:
                    raise RuntimeError(f"the fuzzer failed with {begun}: {found['broken']}")
                if "begun" in found:
                    begun = found["begun"]
                    limits.append(_START if begun.get("format") not in seen else seconds)  # it makes the files first
                    seen.add(begun.get("format"))
                else:
                    begun = None
                    yield found["task"], found["fate"], found["said"]
            status = child.wait()
            if begun is not None or status:
                name = signal.Signals(-status).name if status < 0 else f"exit {status}"
                errors.seek(max(0, errors.seek(0, os.SEEK_END) - 3000))
                said = errors.read().decode(errors="replace")
                if begun is None:
                    raise RuntimeError(f"the child ended with {name} between two tasks: {said}")
                yield begun, SIGNAL, f"{name}: {said}"
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
            child.stdout.close()


def _feed(stdin, tasks: list[dict]) -> None:
    try:
        for task in tasks:
            stdin.write(json.dumps(task).encode() + b"\n")
        stdin.close()
    except OSError:  # the child has died
        pass


def _lines(stdout, limits: list[float]) -> Iterator[bytes | None]:
    """Its lines; None where none comes within the last of `limits`, in seconds."""
    held, deadline = b"", time.monotonic() + limits[-1]
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0, deadline - time.monotonic())):
                yield None
                return
            block = os.read(stdout.fileno(), 1 << 16)
            if not block:
                return
            *lines, held = (held + block).split(b"\n")
            for line in lines:
                yield line
                deadline = time.monotonic() + limits[-1]
