"""The edge between a program and its user: errors become one sentence and an exit status."""

import os
import sys
from collections.abc import Callable

from utils.errors import UserError


def run_cli(main: Callable[[list[str]], int | None], hard_exit: bool = False) -> None:
    """Runs `main(arguments)` and ends the process: 0, what it returns, 2 for a UserError, 130 for Ctrl-C.

    hard_exit: end without OneFlow's own shutdown, which waits for the other ranks even where they will not come.
    """
    try:
        status = main(sys.argv[1:]) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        status = 130
    sys.stdout.flush()
    sys.stderr.flush()
    if hard_exit and status:
        os._exit(status)
    sys.exit(status)
