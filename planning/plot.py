"""Speed and memory against the number of identities, as a picture."""

import io
from collections.abc import Sequence

import matplotlib
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
    content = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": ""}):  # words stay words, ids the same
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
