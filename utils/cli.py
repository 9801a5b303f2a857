"""The edge between a program and its user: errors become one sentence and an exit status."""

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from utils.errors import UserError


def run_cli(main: Callable[[list[str]], int | None], hard_exit: bool = False, stopped: str = "stopped") -> None:
    """Runs `main(arguments)` and ends the process: 0, what it returns, 2 for a UserError, 130 for Ctrl-C.

    stopped: what is said after Ctrl-C. hard_exit: end a failed run on the spot. Otherwise what `main` held is freed
    first, and a compiled graph among it waits for the other ranks, even where they will not come: nobody would learn
    that this one has failed.
    """
    try:
        _end(main(sys.argv[1:]) or 0, hard_exit)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        _note(f"error: {error}")
        _end(2, hard_exit)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        _end(130, hard_exit)
    except Exception as error:
        _note("".join(traceback.format_exception_only(error)).strip().partition("\n")[0])
        if not hard_exit:
            raise
        traceback.print_exc()
        _end(1, hard_exit)


def _note(sentence: str) -> None:
    """For the launcher, which tells the other nodes."""
    if "FAILURE_NOTE" in os.environ:
        with suppress(OSError):
            Path(os.environ["FAILURE_NOTE"]).write_text(sentence)


def _end(status: int, hard_exit: bool) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    if hard_exit and status:
        os._exit(status)
    sys.exit(status)
