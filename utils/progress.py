"""Progress bars, all of one look: on a terminal only, with separators in large numbers."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {done} of {whole} [{elapsed}<{remaining}, {speed}{postfix}]"


class Bar(tqdm):
    """A bar for so many things, which `desc` says what is done with and `unit` what they are, in the plural.

    It is written to stderr, or to `file`, if that is a terminal; log lines go above it by `tqdm.write`.
    """

    def __init__(self, of: Iterable[Any] | None = None, *, desc: str, unit: str, total: int | None = None, **more: Any):
        usual = {"disable": None, "dynamic_ncols": True, "smoothing": 0, "bar_format": _FORMAT, "file": sys.stderr}
        super().__init__(of, desc=desc, unit=unit, total=total, **{**usual, **more})

    @property
    def format_dict(self) -> dict[str, Any]:
        figures = super().format_dict
        done, elapsed = figures["n"] - figures["initial"], figures["elapsed"]
        rate = figures["rate"] or (done / elapsed if elapsed else 0.0)
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"
        shown = {"done": f"{figures['n']:,}", "whole": f"{figures['total'] or 0:,}", "speed": f"{speed} {self.unit}/s"}
        return figures | shown


def write_above(line: str) -> None:
    """A line on stdout, above whatever bars there are."""
    Bar.write(line, file=sys.stdout)
    sys.stdout.flush()
