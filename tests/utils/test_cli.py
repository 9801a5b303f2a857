"""What a program's user sees of its errors."""

import subprocess
import sys

import pytest

from tests.ranks import ROOT

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from utils.cli import run_cli
from utils.errors import UserError

class Graph:
    def __del__(self):
        print("freed", flush=True)

def main(arguments):
    held = Graph()
    {body}

run_cli(main, hard_exit={hard})
"""


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("return None", 0, ""),
        ("return 3", 3, ""),
        ("raise UserError('lower it')", 2, "error: lower it\n"),
        ("raise KeyboardInterrupt", 130, "stopped\n"),
        ("raise RuntimeError('a bug')", 1, "RuntimeError: a bug\n"),
    ],
)
@pytest.mark.parametrize("hard", [False, True])
def test_status_and_words(body, status, said, hard):
    program = PROGRAM.format(root=str(ROOT), body=body, hard=hard)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stderr.endswith(said) and ("Traceback" in done.stderr) == (status == 1)


@pytest.mark.parametrize("error", ["UserError('lower it')", "RuntimeError('a bug')"])
def test_a_hard_exit_frees_nothing_first(error):
    program = PROGRAM.format(root=str(ROOT), body=f"raise {error}", hard=True)
    assert "freed" not in subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
