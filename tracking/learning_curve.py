"""A run's loss and verification over its steps, as a picture for a paper or a chat."""

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pages.figure import COLORS, plain, png, tidy
from tracking.run_page import verified_sets
from tracking.series import Curves

_SIZE = (7.2, 3.4)  # inches; twice as wide with verification beside the loss


def learning_curve(name: str, curves: Curves) -> bytes:
    """A PNG. `curves` has "train/loss"; accuracies of verification sets stand beside it if there are any."""
    sets = verified_sets(curves)
    figure = Figure(figsize=(_SIZE[0] * (1.5 if sets else 1), _SIZE[1]), layout="constrained")
    axes = figure.subplots(1, 2 if sets else 1, squeeze=False)[0]
    loss = curves["train/loss"]
    axes[0].plot(loss.steps, loss.values, color=COLORS[0], lw=1.5)
    tidy(axes[0], f"{name}: loss")
    for number, each in enumerate(sets):
        curve = curves[f"verification/{each}/accuracy"]
        color = COLORS[number % len(COLORS)]
        axes[1].plot(curve.steps, curve.values, "o-", ms=4, lw=1.5, color=color, label=plain(each))
    if sets:
        tidy(axes[1], "verification: accuracy")
        axes[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes[1].legend(frameon=False)
    for each in axes:
        each.set_xlabel("step")
    return png(figure)
