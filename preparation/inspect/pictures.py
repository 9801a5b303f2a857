"""Pictures of a dataset: how many images the identities have, and sheets of some of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_BINS = 40
_TITLE_WIDTH = 150  # pixels


class Pictures(Protocol):
    """image_size: height and width of each."""

    image_size: tuple[int, int]

    def picture(self, record: int) -> np.ndarray:
        """(*image_size, 3) uint8 BGR."""


def histogram_png(counts: np.ndarray) -> bytes:
    """How many identities have so many images, as a PNG; counts (identities,), those without images are left out."""
    counts = counts[counts > 0]
    most = int(counts.max(initial=1))
    # Whole numbers to a bar; on a log scale where a few identities have very many.
    wide = most > 20 * max(float(np.median(counts)) if len(counts) else 1, 5)
    edges = np.geomspace(1, most + 1, _BINS + 1) if wide else np.linspace(1, most + 1, min(most, _BINS) + 1)
    edges = np.unique(np.ceil(edges)) - 0.5
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.stairs(np.histogram(counts, edges)[0], edges, fill=True, color="#0072B2")
    axes.set_title(f"Images per identity ({len(counts):,} identities)", loc="left", fontsize=11)
    axes.set_xlabel("images")
    axes.set_ylabel("identities")
    if wide:
        axes.set_xscale("log")
    for axis in [axes.yaxis] if wide else [axes.xaxis, axes.yaxis]:
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150, metadata={"Software": None})
    return content.getvalue()


def sheet_png(table: Pictures, rows: Sequence[tuple[Sequence[str], Sequence[int | None]]]) -> bytes:
    """Rows of images, each beside a few lines of words, as a PNG.

    Args:
        rows: (lines, records) of each row; None leaves a place empty.
    """
    (high, wide), columns = table.image_size, max(len(records) for _, records in rows)
    sheet = np.full((high * len(rows), _TITLE_WIDTH + wide * columns, 3), 255, np.uint8)
    for number, (lines, records) in enumerate(rows):
        top = high * number
        for i, line in enumerate(lines):
            cv2.putText(sheet, line, (6, top + 22 + 18 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        for column, record in enumerate(records):
            if record is None:
                continue
            left = _TITLE_WIDTH + wide * column
            sheet[top : top + high, left : left + wide] = table.picture(record)
    return cv2.imencode(".png", sheet)[1].tobytes()
