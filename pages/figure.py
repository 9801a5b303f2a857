"""Pictures for reports as matplotlib draws them.

Figures are made without matplotlib's pyplot, whose state would be the whole process's. Colors are those of Okabe and
Ito (2008), which the color-blind tell apart.
"""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DPI = 150


def png(figure: Figure) -> bytes:
    """The picture as a PNG file's content."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
    return content.getvalue()


def tidy(axes: Axes, heading: str) -> None:
    """Gives axes their heading, a light grid, and no frame."""
    axes.set_title(plain(heading).strip(), loc="left", fontsize=11)
    axes.grid(which="major", color="#e3e2e0", lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def plain(name: str) -> str:
    """A name as matplotlib draws it unchanged: dollars would be formulas, and a leading underscore would hide it."""
    return " " + name.replace("$", r"\$")
