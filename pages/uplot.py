"""uPlot, the library that draws curves, as the package youplot carries it: version 1.6.31, unchanged."""

import importlib.util
from functools import cache
from pathlib import Path

_PACKAGE = "youplot"
_LICENSE = Path(__file__).with_name("uplot_license.txt")


@cache
def uplot_script() -> str:
    """The library, with the license that it comes under. Raises ModuleNotFoundError without the package."""
    return f"/*!\nuPlot\n\n{_LICENSE.read_text().strip()}\n*/\n{_vendored('uplot.iife.min.js')}"


@cache
def uplot_style() -> str:
    return _vendored("uplot.min.css")


def _vendored(name: str) -> str:
    spec = importlib.util.find_spec(_PACKAGE)  # not imported: its Python does other things
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the package {_PACKAGE} is not installed; ./setup.sh installs it")
    return (Path(spec.origin).parent / "vendor" / name).read_text()
