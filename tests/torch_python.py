"""A Python that has torch, for the tests that need one.

OneFlow's environment has none: with its CUDA libraries torch is several GB. In order: TORCH_PYTHON, this Python, the
machine's, and one in .uv/torch, which is made where pip finds a CPU build.
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

_VENV = Path(__file__).resolve().parents[1] / ".uv/torch"
_CPU_BUILD = "torch==2.13.0+cpu"  # "+cpu": nothing where only builds with CUDA are offered


def _has_torch(python: str) -> bool:
    return subprocess.run([python, "-c", "import torch, numpy"], capture_output=True, check=False).returncode == 0


def _make() -> None:
    python = shutil.which("python3.11") or "python3"
    subprocess.run([python, "-m", "venv", "--clear", str(_VENV)], capture_output=True, check=False)
    install = [str(_VENV / "bin/python"), "-m", "pip", "install", "--quiet", _CPU_BUILD, "numpy"]
    subprocess.run(install, capture_output=True, check=False, timeout=900)


@functools.cache
def find_torch_python() -> str | None:
    """The interpreter's path; None where there is none and none can be made."""
    candidates = [os.environ.get("TORCH_PYTHON"), sys.executable, *map(shutil.which, ("python3.11", "python3"))]
    venv = str(_VENV / "bin/python")
    for python in filter(None, [*candidates, venv]):
        if os.access(python, os.X_OK) and _has_torch(python):
            return python
    try:
        _make()
        return venv if _has_torch(venv) else None
    except (OSError, subprocess.TimeoutExpired):
        return None
