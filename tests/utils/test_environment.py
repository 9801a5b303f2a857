"""A program started with a Python that has none of our packages."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ranks import ROOT

# -S and -I: a Python without site-packages stands for one that nothing was installed into.
BARE = [sys.executable, "-S", "-I"]


@pytest.mark.parametrize("program", ["train.py", "val.py", "export.py", "tools/mx_recordio_2_ofrecord.py"])
def test_it_says_what_to_do(tmp_path, program):
    shutil.copytree(ROOT / "utils", tmp_path / "utils")
    (tmp_path / program).parent.mkdir(exist_ok=True)
    shutil.copy(ROOT / program, tmp_path / program)
    start = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(tmp_path / program)!r})"
    done = subprocess.run([*BARE, "-c", start], capture_output=True, text=True)
    assert done.returncode == 2 and "setup.sh" in done.stderr and "Traceback" not in done.stderr


def test_it_goes_on_in_the_environment(tmp_path):
    shutil.copytree(ROOT / "utils", tmp_path / "utils")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "here: $*"\n')
    python.chmod(0o755)
    (tmp_path / "program.py").write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from utils.environment import enter_environment\nenter_environment()\n"
    )
    done = subprocess.run([*BARE, str(Path(tmp_path, "program.py")), "--flag"], capture_output=True, text=True)
    assert done.stdout == f"here: {tmp_path / 'program.py'} --flag\n"
