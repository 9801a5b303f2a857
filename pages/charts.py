"""Curves of a page as plain data, which `script.js` draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

_DIGITS = 6  # that a curve shows


@dataclass(frozen=True)
class Series:
    """A curve of one name over x, both of one length; None and what is not finite are gaps.

    style: "line", "steps" (each value holds until the next x), "area" (the same, filled), "marked" (a line with its
    points), "points".
    color: a number of the palette that charts share; None: the series' number. dashed: drawn with dashes.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    style: str = "line"
    color: int | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Series on common axes.

    key: of the page's element, [a-z0-9-]. x_kind and y_kind: how numbers are shown, "number", "percent" or "step" (a
    whole one). marks: places on the x-axis with a word each, such as where a phase begins. smooths: the page's slider
    smooths it. sync: charts of one name show the same place when one of them is pointed at. x_range, y_range: (low,
    high), of which either may be None, for as far as the data go.
    """

    key: str
    title: str
    series: Sequence[Series]
    x_label: str
    x_kind: str = "number"
    y_kind: str = "number"
    x_log: bool = False
    y_log: bool = False
    smooths: bool = False
    sync: str | None = None
    marks: Sequence[tuple[float, str]] = ()
    x_range: tuple[float | None, float | None] = (None, None)
    y_range: tuple[float | None, float | None] = (None, None)
    note: str = field(default="")

    def data(self) -> dict[str, Any]:
        """What `script.js` reads, of JSON's types."""
        return {
            "key": self.key,
            "xLabel": self.x_label,
            "xKind": self.x_kind,
            "yKind": self.y_kind,
            "xLog": self.x_log,
            "yLog": self.y_log,
            "smooths": self.smooths,
            "sync": self.sync,
            "marks": [[short(place), word] for place, word in self.marks],
            "xRange": [short(end) for end in self.x_range],
            "yRange": [short(end) for end in self.y_range],
            "series": [
                {
                    "name": each.name,
                    "x": [short(value) for value in each.x],
                    "y": [short(value) for value in each.y],
                    "style": each.style,
                    "color": number if each.color is None else each.color,
                    "dashed": each.dashed,
                }
                for number, each in enumerate(self.series)
            ],
        }

    def html(self) -> str:
        """The place on the page where it is drawn."""
        note = f'<p class="note">{escape(self.note)}</p>' if self.note else ""
        return (
            f'<figure class="chart" id="chart-{self.key}"><figcaption>{escape(self.title)}</figcaption>'
            f'<div class="plot"></div>{note}</figure>\n'
        )


def short(value: float | None) -> float | int | None:
    """A number as JSON has it, to six digits; None for one that is not finite. Whole numbers stay as they are."""
    if value is None or not math.isfinite(value):
        return None
    if float(value).is_integer():
        return int(value)
    return float(f"{value:.{_DIGITS}g}")
