"""Results of evaluations as pictures: curves, histograms of scores, and folds."""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from evaluation.results import threshold_cosine, title
from pages.figure import COLORS, plain, tidy

_DASHES = ("-", "--", ":", "-.")  # after the last color, the first comes again with another dash
_SIZE = (7.2, 4.4)  # inches


class _Style(TypedDict):
    """Of a line, in matplotlib's words."""

    color: str
    linestyle: str


def roc_figure(results: Sequence[dict]) -> Figure:
    """The curves of several models on one set, TAR against FAR on a log scale."""
    figure, axes = _figure(f"{title(results[0])}: ROC", len(results))
    drawn = [result for result in results if result["roc"]["far"]]
    if not drawn:
        return _empty(figure, axes, "no curve: the set has pairs of one kind only")
    different = max(result["pairs"] - result["same"] for result in drawn)
    left = 10.0 ** math.floor(math.log10(1 / max(different, 10)))
    lowest = 1.0
    for number, result in enumerate(results):
        far, tar = (np.array(result["roc"][key]) for key in ("far", "tar"))
        if not far.size:
            continue
        style = _style(number)
        axes.step(np.maximum(far, left / 10), tar, where="post", label=plain(result["model"]), lw=1.8, **style)
        marks = {float(at): share for at, share in result["tar_at_far"].items() if share is not None}
        axes.plot(list(marks), list(marks.values()), "o", ms=4, color=style["color"])
        lowest = min(lowest, tar[max(int(np.searchsorted(far, left, side="right")) - 1, 0)])
    axes.set_xscale("log")
    axes.set_xlim(left, 1)
    axes.set_xlabel("false accept rate (FAR)")
    axes.set_ylabel("true accept rate (TAR)")
    _show_shares(axes, lowest)
    figure.legend(loc="outside lower left", frameon=False)
    return figure


def histogram_figure(result: dict) -> Figure:
    """How alike the model finds same and different pairs, each kind's shares adding up to 1."""
    figure, axes = _figure(f"{title(result)}, {result['model']}: scores of pairs")
    histogram = result["histogram"]
    edges = np.array(histogram["edges"])
    kinds = [(kind, np.array(histogram[kind])) for kind in ("different", "same")]
    for (kind, counts), color in zip(kinds, (COLORS[1], COLORS[0]), strict=True):
        total = int(counts.sum())
        if total:
            axes.stairs(counts / total, edges, fill=True, color=color, alpha=0.35)
            axes.stairs(counts / total, edges, color=color, lw=1.4, label=f"{total:,} {kind} pairs")
    if (cosine := threshold_cosine(result)) is not None:
        axes.axvline(cosine, color="#444444", lw=1.2, ls="--", label=f"most accurate threshold, {cosine:.3f}")
    held = np.flatnonzero(sum(counts for _, counts in kinds))
    margin = 2 * (edges[1] - edges[0])
    axes.set_xlim(max(edges[held[0]] - margin, edges[0]), min(edges[held[-1] + 1] + margin, edges[-1]))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"cosine of the two {'templates' if result['kind'] == 'ijb' else 'embeddings'}")
    axes.set_ylabel("share of the pairs")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.legend(loc="best", frameon=True, framealpha=0.9)
    return figure


def reject_figure(results: Sequence[dict]) -> Figure:
    """FNMR at a fixed FMR over the share of pairs dropped, of the models whose result has that curve."""
    figure, axes = _figure(f"{title(results[0])}: error versus reject", len(results))
    highest = 0.0
    for number, result in enumerate(results):
        curve = result.get("error_versus_reject", {"dropped": [], "fnmr": [], "fmr": 0})
        points = [(u, fnmr) for u, fnmr in zip(curve["dropped"], curve["fnmr"], strict=True) if fnmr is not None]
        if points:
            dropped, fnmr = zip(*points, strict=True)
            highest = max(highest, *fnmr)
            label = f"{plain(result['model'])}, FMR {curve['fmr']:g}"
            axes.plot(dropped, fnmr, marker="o", ms=4, lw=1.8, label=label, **_style(number))
    if not axes.lines:
        return _empty(figure, axes, "no curve: too few pairs for the FMR, or results without it")
    axes.set_xlim(-0.02, 1)
    axes.set_ylim(-0.03 * max(highest, 0.01), 1.08 * max(highest, 0.01))
    axes.set_xlabel("share of the pairs dropped, of the lowest quality first")
    axes.set_ylabel("false non-match rate (FNMR)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=None))
    figure.legend(loc="outside lower left", frameon=False)
    return figure


def folds_figure(results: Sequence[dict]) -> Figure:
    """Each fold's accuracy on one verification set, and each model's mean as a line."""
    figure, axes = _figure(f"{title(results[0])}: accuracy of each fold", len(results))
    count = max(len(result["folds"]) for result in results)
    width = min(0.5, 0.12 * (len(results) - 1))  # models stand side by side, as their folds are often equal
    for number, result in enumerate(results):
        style = _style(number)
        shift = width * (number / (len(results) - 1) - 0.5) if len(results) > 1 else 0
        accuracies = [fold["accuracy"] for fold in result["folds"]]
        axes.axhline(result["accuracy"], lw=1.2, alpha=0.7, **style)
        label = f"{plain(result['model'])}, {result['accuracy']:.2%} ± {result['std']:.2%}"
        places = np.arange(1, len(accuracies) + 1) + shift
        axes.plot(places, accuracies, "o", ms=6, color=style["color"], label=label)
    axes.set_xticks(range(1, count + 1))
    axes.set_xlim(0.5, count + 0.5)
    lowest = min(fold["accuracy"] for result in results for fold in result["folds"])
    axes.set_xlabel("fold")
    axes.set_ylabel("accuracy")
    _show_shares(axes, lowest)
    figure.legend(loc="outside lower left", frameon=False)
    return figure


def _figure(heading: str, lines_below: int = 0) -> tuple[Figure, Axes]:
    width, height = _SIZE
    figure = Figure(figsize=(width, height + 0.22 * lines_below), layout="constrained")
    axes = figure.add_subplot()
    tidy(axes, heading)
    return figure, axes


def _empty(figure: Figure, axes: Axes, words: str) -> Figure:
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes)
    return figure


def _style(number: int) -> _Style:
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": _DASHES[number // len(COLORS) % len(_DASHES)],
    }


def _show_shares(axes: Axes, lowest: float) -> None:
    """Makes the upright axis one of shares from `lowest` to 1, in percent."""
    room = max(1 - lowest, 0.01)
    bottom, top = max(lowest - 0.1 * room, -0.02), 1 + 0.03 * room
    axes.set_ylim(bottom, top)
    axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick <= 1 + 1e-9])
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
