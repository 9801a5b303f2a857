"""Ctrl-C where a step takes long and no progress line is due for many steps."""

import os
import re
import signal
import subprocess
import threading
import time

import pytest

from engine.checkpoint import list_checkpoints
from tests.ranks import ROOT, launch_command, rank_environment

WORKER = "tests/end_to_end/watched_worker.py"
# A second or more for a step, so that a stretch between two agreements of the ranks is one step
SETTINGS = ["network=mbf_tiny", "num_classes=100", "num_image=1000000", "batch_size=384", "frequent=100000"]


def losses(lines: list[str]) -> int:
    """Steps whose loss is there."""
    return sum(line.startswith("loss of step") for line in list(lines))


@pytest.mark.parametrize(("ranks", "mode"), [(1, "--graph"), (2, "--graph"), (1, "--eager")])
def test_few_more_steps_are_trained(ranks, mode, tmp_path):
    command = launch_command(ranks, WORKER, "configs/synthetic.py", mode, "device=cpu", *SETTINGS, f"output={tmp_path}")
    process = subprocess.Popen(
        command, cwd=ROOT, env=rank_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    reader.start()
    started = None
    try:
        # For some seconds, in which a host that nothing bounds launches many steps
        while not started or time.monotonic() < started + 6:
            assert process.poll() is None, lines
            started = started or (time.monotonic() if losses(lines) else None)
            time.sleep(0.02)
        before = losses(lines)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=90) == 130, lines
    finally:
        process.kill()
    reader.join(timeout=10)
    printed = "".join(lines)
    step = int(re.search(r"Stopped at step (\d+);", printed)[1])
    assert step <= before + 3  # one of them under way when the signal came, and one that may end while it arrives
    assert list_checkpoints(tmp_path / "checkpoints")[-1].name == f"step-{step:08d}"
    assert "Traceback" not in printed
