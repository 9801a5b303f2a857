"""What a program's user sees of its errors."""

import argparse
import os
import subprocess
import sys

import pytest

from tests.ranks import ROOT
from utils.cli import image_size
from utils.printable import printable

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


def run_into(body, output, **more):
    """The status, and what is said on stderr, of a program whose stdout is `output`."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "PYTHONUNBUFFERED": "", **more}
    program = PROGRAM.format(root=str(ROOT), body=f"del held; {body}", hard=False).replace(
        'print("freed", flush=True)', "pass"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=output, stderr=subprocess.PIPE, env=environment)
    return done.returncode, done.stderr.decode()


def test_nobody_reads_any_more():
    """As in `| head`: what the work comes to is not changed by it, unless it was stopped."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as nobody:
        assert run_into("print('done'); return 3", nobody) == (3, "")
        assert run_into("print('done'); raise UserError('lower it')", nobody) == (2, "error: lower it\n")
        assert run_into("print('more'); print('work')", nobody, PYTHONUNBUFFERED="1") == (141, "")
        status, said = run_into("raise BrokenPipeError('a bug')", subprocess.DEVNULL)
        assert status == 1 and "BrokenPipeError: a bug" in said


def test_a_strangers_name_does_not_move_the_cursor():
    assert printable("a\x1b[31m\rb\x9b\ud800\udcff ü") == "a?[31m?b??\udcff ü"


def test_names_of_any_bytes_are_printed(tmp_path):
    name = "import os; name = os.fsdecode(b'zo\\xc3\\xab \\xff'); "
    with open(tmp_path / "said", "wb") as said:
        assert run_into(f"{name} print(name)", said) == (0, "")
        note = {"FAILURE_NOTE": str(tmp_path / "note")}
        assert run_into(f"{name} raise UserError(name)", said, **note) == (2, "error: zoë \\udcff\n")
    assert b"zo\xc3\xab \xff\n" in (tmp_path / "said").read_bytes()
    assert (tmp_path / "note").read_text() == "error: zoë \\udcff"


def test_sizes_of_images():
    assert image_size("128") == (128, 128) and image_size("96x112") == (96, 112)
    for wrong in ("8", "96x", "x96", "96x112x3", "9999", "-96", "96 x 112", "96X112", "\u0663\u0663", ""):
        with pytest.raises(
            argparse.ArgumentTypeError, match="is not possible: write 128, or 96x112 for height x width"
        ):
            image_size(wrong)
