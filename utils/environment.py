"""Programs that are started with a Python that has none of our packages. Imports nothing but the standard library."""

import importlib.util
import os
import sys
from pathlib import Path
from types import TracebackType

from utils.failures import note_failure, shortage
from utils.interrupts import end_at_interrupt
from utils.quiet import drain, quiet_terminal

_ROOT = Path(__file__).resolve().parents[1]
HELP = _ROOT / "docs" / "help"  # a text for each program, and PROGRAM-COMMAND.txt for its commands: tools/write_help.py


def enter_environment() -> None:
    """Shows the program's help if that is asked for. Else goes on in `.venv`, which `setup.sh` makes, where this Python
    has no OneFlow; if there is none, says what to do and exits.

    Until `run_cli`, Ctrl-C ends the program at once: packages are imported, and nothing is written yet. If there is too
    little memory for that, a sentence says so.
    """
    end_at_interrupt()
    sys.excepthook = _end_by
    if "-h" in sys.argv[1:] or "--help" in sys.argv[1:]:
        _show_help()
    if importlib.util.find_spec("oneflow"):
        if _is_program():
            os.environ.setdefault("GLOG_minloglevel", "2")  # warnings, which are level 1, say nothing to users
            quiet_terminal(os.environ)
        return
    python = _ROOT / ".venv/bin/python"
    if python.exists() and Path(sys.executable) != python:
        os.execv(python, [str(python), *sys.argv])
    print(f"error: this Python has no OneFlow; run {_ROOT / 'setup.sh'} first, which makes one", file=sys.stderr)
    sys.exit(2)


def _is_program() -> bool:
    """Whether this process was started with one of our programs, and not with one of packages that imports it, as
    pytest and IPython are, which may be in our `.venv`.
    """
    started = Path(getattr(sys.modules["__main__"], "__file__", None) or "/").resolve()
    homes = (_ROOT, Path(sys.prefix).resolve())
    return next((folder for folder in started.parents if folder in homes), None) == _ROOT


def _show_help() -> None:
    """Prints the stored help of this program, or of the command of it that is named, and exits. That takes no packages,
    which a program imports before it has options to explain.
    """
    program = Path(sys.argv[0])
    if _is_program():
        for name in (*(f"{program.stem}-{word}" for word in sys.argv[1:2]), program.stem):
            text = HELP / f"{name}.txt"
            if text.name == f"{name}.txt" and text.is_file():
                print(text.read_text(encoding="utf-8"), end="")
                sys.exit(0)


def _end_by(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For what nobody catches until `run_cli`: packages that do not fit into memory, in a sentence."""
    if not (said := shortage(error)):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {said}", file=sys.stderr, flush=True)
    note_failure(f"error: {said}")
    drain()
    os._exit(2)
