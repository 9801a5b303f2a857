"""Results of evaluations as curves of a page; `evaluation.pictures` draws the same as pictures."""

import math
from collections.abc import Sequence

import numpy as np

from evaluation.results import threshold_cosine
from pages.charts import Chart, Series

_APART = 0.12  # of two models at one fold


def result_charts(results: Sequence[dict], key: str) -> list[Chart]:
    """Of models on one set: ROC, folds, error versus reject, and each model's histogram of scores.

    key: of the set on its page.
    """
    charts = [roc_chart(results, key)]
    if results[0]["kind"] == "verification":
        charts.append(folds_chart(results, key))
    if any("error_versus_reject" in result for result in results):
        charts.append(reject_chart(results, key))
    charts += [histogram_chart(result, f"{key}-scores-{number}") for number, result in enumerate(results, 1)]
    return [chart for chart in charts if chart.series]


def roc_chart(results: Sequence[dict], key: str) -> Chart:
    """TAR against FAR on a log scale, from the FAR of a single different pair on."""
    drawn = [result for result in results if result["roc"]["far"]]
    different = max((result["pairs"] - result["same"] for result in drawn), default=1)
    left = 10.0 ** math.floor(math.log10(1 / max(different, 10)))
    series = []
    for result in drawn:
        far, tar = (np.array(result["roc"][name]) for name in ("far", "tar"))
        begin = max(int(np.searchsorted(far, left, side="right")) - 1, 0)  # the corner that holds at the left edge
        xs, ys = np.maximum(far[begin:], left), tar[begin:]
        last = np.r_[np.diff(xs) > 0, True]  # of several corners at one FAR, the highest
        series.append(Series(result["model"], xs[last].tolist(), ys[last].tolist(), "steps"))
    return Chart(
        f"{key}-roc", "ROC: true accept rate by false accept rate", series, "FAR",
        y_kind="percent", x_log=True, x_range=(left, 1), y_range=(None, 1),
    )  # fmt: skip


def folds_chart(results: Sequence[dict], key: str) -> Chart:
    """Each fold's accuracy, and each model's mean as a dashed line."""
    series = []
    for number, result in enumerate(results):
        folds = [fold["accuracy"] for fold in result["folds"]]
        shift = _APART * (number - (len(results) - 1) / 2)  # models stand side by side, as their folds are often equal
        places = [fold + shift for fold in range(1, len(folds) + 1)]
        series.append(Series(result["model"], places, folds, "points", number))
        ends, mean = [0.5, len(folds) + 0.5], [result["accuracy"]] * 2
        series.append(Series(f"{result['model']}, mean", ends, mean, "line", number, dashed=True))
    return Chart(f"{key}-folds", "Accuracy of each fold", series, "fold", "step", "percent")


def reject_chart(results: Sequence[dict], key: str) -> Chart:
    """FNMR at a fixed FMR over the share of pairs dropped, of the models whose result has that curve."""
    series = []
    for number, result in enumerate(results):
        curve = result.get("error_versus_reject", {"dropped": [], "fnmr": [], "fmr": 0})
        if any(fnmr is not None for fnmr in curve["fnmr"]):
            name = f"{result['model']}, FMR {curve['fmr']:g}"
            series.append(Series(name, curve["dropped"], curve["fnmr"], "marked", number))
    return Chart(
        f"{key}-rejects", "Error versus reject: FNMR when the worst pairs are dropped", series,
        "share of pairs dropped", "percent", "percent", y_range=(0, None),
    )  # fmt: skip


def histogram_chart(result: dict, key: str) -> Chart:
    """How alike the model finds same and different pairs, each kind's shares adding up to 1."""
    histogram = result["histogram"]
    edges = np.array(histogram["edges"])
    counts = {kind: np.array(histogram[kind]) for kind in ("different", "same")}
    held = np.flatnonzero(sum(counts.values()))
    bins = slice(max(held[0] - 1, 0), min(held[-1] + 2, len(edges) - 1))
    series = []
    for color, kind in ((1, "different"), (0, "same")):
        if total := int(counts[kind].sum()):
            shares = (counts[kind][bins] / total).tolist()
            xs = edges[bins.start : bins.stop + 1].tolist()
            series.append(Series(f"{total:,} {kind} pairs", xs, [*shares, shares[-1]], "area", color))
    cosine = threshold_cosine(result)
    marks = [(cosine, f"threshold {cosine:.3f}")] if cosine is not None else []
    what = "templates" if result["kind"] == "ijb" else "embeddings"
    title = f"{result['model']}: scores of pairs"
    return Chart(key, title, series, f"cosine of two {what}", "number", "percent", marks=marks, y_range=(0, None))
