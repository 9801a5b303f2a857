"""Figures as pictures: lines against the number of identities, and bars."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

Line = tuple[str, Sequence[tuple[float, float]]]  # its name, and (x, y) of its points, all above 0


def draw(title: str, panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """SVG; panels: what each shows, and its lines. Both axes are logarithmic; a line has the same color in all."""
    names = list(dict.fromkeys(name for _, lines in panels for name, _ in lines))
    figure = Figure(figsize=(5 * len(panels), 3.8 + 0.22 * len(names)), layout="constrained")
    figure.suptitle(title)
    for axes, (label, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.set(title=label, xlabel="identities", xscale="log", yscale="log")
        axes.grid(which="both", alpha=0.25)
        for name, points in lines:
            axes.plot(*zip(*sorted(points), strict=True), "o-", color=f"C{names.index(name)}", label=name, gid=name)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower left", frameon=False)
    return _svg(figure)


def bars(title: str, rows: Sequence[str], panels: Sequence[tuple[str, Mapping[str, Sequence[float]]]]) -> str:
    """SVG; panels: what each shows, and for each kind, which has a color, a figure of each row."""
    kinds = list(panels[0][1])
    thick, places = 0.8 / len(kinds), np.arange(len(rows))
    figure = Figure(figsize=(1.5 + 3.6 * len(panels), 1.6 + 0.22 * len(rows) * len(kinds)), layout="constrained")
    figure.suptitle(title)
    for axes, (label, figures) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for number, kind in enumerate(kinds):
            drawn = axes.barh(places + (number + 0.5) * thick - 0.4, figures[kind], thick, label=kind)
            axes.bar_label(drawn, fmt="%.3g", padding=2, fontsize="small")
        axes.set(title=label, xscale="log", yticks=places, yticklabels=rows if axes is figure.axes[0] else [])
        axes.margins(x=0.2)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.25)
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(kinds), frameon=False
    )
    return _svg(figure)


def _svg(figure: Figure) -> str:
    content = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": ""}):  # words stay words, ids the same
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
