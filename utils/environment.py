"""Programs that are started with a Python that has none of our packages. Imports nothing but the standard library."""

import importlib.util
import os
import sys
from pathlib import Path

from utils.interrupts import end_at_interrupt

_ROOT = Path(__file__).resolve().parents[1]


def enter_environment() -> None:
    """Goes on in `.venv`, which `setup.sh` makes, where this Python has no OneFlow; else says what to do and exits.

    Until `run_cli`, Ctrl-C ends the program at once: packages are imported, and nothing is written yet.
    """
    end_at_interrupt()
    if importlib.util.find_spec("oneflow"):
        return
    python = _ROOT / ".venv/bin/python"
    if python.exists() and Path(sys.executable) != python:
        os.execv(python, [str(python), *sys.argv])
    print(f"error: this Python has no OneFlow; run {_ROOT / 'setup.sh'} first, which makes one", file=sys.stderr)
    sys.exit(2)
