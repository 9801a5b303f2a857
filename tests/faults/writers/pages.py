"""Results of evaluations, and pages of them."""

from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np

from evaluation.bin_set import write_bin
from evaluation.pairs import read_bin
from evaluation.report import write_report
from evaluation.results import read_result
from evaluation.verify_pairs import verify_pairs
from pages.figure import png
from tests.data.mxnet_sets import jpegs
from tests.faults.writer import Writer
from tests.fuzz.judge import digest

_PAIRS = 30


def verify(folder: Path, seed: int, name: str = "set") -> None:
    embeddings = np.random.default_rng(seed).normal(size=(2 * _PAIRS, 2, 6)).astype(np.float32)
    with patch("evaluation.verify_pairs._HARDEST", 1):  # strip of each kind
        verify_pairs(name, read_bin(folder / "set.bin"), embeddings, f"model {seed}", out=folder / "out")


def make_result(folder: Path) -> None:
    write_bin(folder / "set.bin", jpegs(2 * _PAIRS), [True, False, True] * 10)
    verify(folder, 0)


def read_result_of(folder: Path) -> str:
    found = read_result(folder / "out/set.json")
    strips = [(folder / "out" / pair["strip"]).read_bytes()[:8] for pair in found["hardest"]]
    assert set(strips) == {b"\x89PNG\r\n\x1a\n"}
    return digest(found["model"], found["accuracy"])


@cache
def _picture() -> bytes:
    """Drawing one takes a second, and what is on them is not the matter here."""
    from matplotlib.figure import Figure

    return png(Figure())


def report(folder: Path, *names: str) -> None:
    figures = {f"{kind}_figure": lambda result: None for kind in ("roc", "folds", "reject", "histogram")}
    with patch.multiple("evaluation.report", png=lambda figure: _picture(), **figures):
        write_report([folder / "out" / f"{name}.json" for name in names], folder / "report")


def make_report(folder: Path) -> None:
    make_result(folder)
    verify(folder, 1, "other")
    report(folder, "set")


def read_page(folder: Path) -> str:
    page = (folder / "report/report.html").read_text()
    assert page.endswith("</html>\n")
    return digest(page)


WRITERS = (
    Writer("result", ("evaluation.results", "evaluation.hardest"), make_result, lambda f: verify(f, 2), read_result_of),
    Writer("report", ("evaluation.report",), make_report, lambda f: report(f, "set", "other"), read_page),
)
