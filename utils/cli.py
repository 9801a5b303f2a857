"""The edge between a program and its user: errors become one sentence and an exit status."""

import argparse
import io
import os
import re
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from utils.errors import UserError
from utils.failures import note_failure, shortage
from utils.interrupts import raise_at_interrupt
from utils.pixels import SIDES
from utils.printable import printable
from utils.quiet import drain
from utils.reading.limits import take_limits, use_limits


def run_cli(main: Callable[[list[str]], int | None], hard_exit: bool = False, stopped: str = "stopped") -> None:
    """Runs `main(arguments)` and ends the process: 0, what it returns, 2 for a UserError, 130 for Ctrl-C.

    Names of files are printed as the bytes they are. Where whoever read the output has gone (`| head`), the rest of it
    goes nowhere; the status is 141 if that stopped the work. Options `--limit` are put in force and not passed on.

    stopped: what is said after Ctrl-C. hard_exit: end a failed run on the spot. Otherwise what `main` held is freed
    first, and a compiled graph among it waits for the other ranks, even where they will not come: nobody would learn
    that this one has failed.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        raise_at_interrupt()
        sys.excepthook = sys.__excepthook__
        arguments, limits = take_limits(sys.argv[1:])
        use_limits(limits)
        _end(main(arguments) or 0, hard_exit)
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        note_failure(f"error: {printable(str(error))}")
        _end(2, hard_exit)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        _end(130, hard_exit)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _drop_unread_output():
            _end(128 + signal.SIGPIPE, hard_exit)
        if isinstance(error, ImportError | OSError) and (said := shortage(error)):
            print(f"error: {said}", file=sys.stderr)
            note_failure(f"error: {said}")
            _end(2, hard_exit)
        note_failure("".join(traceback.format_exception_only(error)).strip().partition("\n")[0])
        if not hard_exit:
            raise
        traceback.print_exc()
        _end(1, hard_exit)


def add_model(
    parser: argparse.ArgumentParser, help: str, required: bool = False, type: Callable[[str], Path] = Path
) -> None:
    """The option --model, once --model_path, which is still its name in the parsed arguments."""
    names = ("--model", "--model_path")
    parser.add_argument(*names, dest="model_path", type=type, required=required, metavar="MODEL", help=help)


def rate(text: str) -> float:
    """An argument that is a share of something, above 0 and below 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not possible: it must be above 0 and below 1, such as 1e-3")
    return value


def positive(text: str) -> int:
    """An argument that is a number of something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not possible: it must be a whole number above 0")
    return int(text)


def image_size(text: str) -> tuple[int, int]:
    """An argument that is a size of images, (height, width) in pixels: `128`, or `96x112`."""
    match = re.fullmatch(r"([0-9]{1,4})(?:x([0-9]{1,4}))?", text)
    size = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not all(side in SIDES for side in size):
        limits = f"from {SIDES[0]} to {SIDES[-1]}"
        raise argparse.ArgumentTypeError(f"{text} is not possible: write 128, or 96x112 for height x width, {limits}")
    return size


def numbers_above_0(name: str, text: str, kind: type) -> list:
    """Those that an option `--name` has, with commas between them. Raises UserError for others."""
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if any(number <= 0 for number in numbers):
        raise UserError(f"--{name} {text} is not possible; write numbers above 0 with commas between them")
    return numbers


def _drop_unread_output() -> bool:
    """Flush stdout. Whether nobody reads it any more; then what comes goes nowhere, as Python flushes at its end."""
    if sys.stdout is None:  # closed before the start
        return False
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)
    gone = any(event & select.POLLERR for _, event in watch.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stdout.flush()
    return gone


def _end(status: int, hard_exit: bool) -> None:
    _drop_unread_output()
    if sys.stderr:
        sys.stderr.flush()
    drain()
    if hard_exit and status:
        os._exit(status)
    sys.exit(status)
