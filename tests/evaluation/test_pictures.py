"""Pictures: what is drawn is what the result says, and every result can be drawn."""

import cv2
import numpy as np
import pytest

from evaluation.curves import roc
from evaluation.pictures import folds_figure, histogram_figure, roc_figure
from evaluation.results import verification_result
from evaluation.verification import judge
from pages.figure import png


def result(noise, model, kind=None, pairs=200):
    rng = np.random.default_rng(0)
    issame = np.arange(pairs) % 2 == 0 if kind is None else np.full(pairs, kind)
    rows = rng.normal(size=(pairs, 2, 8))
    rows[issame, 1] = rows[issame, 0]
    rows += noise * rng.normal(size=rows.shape)
    judged = judge(rows.reshape(-1, 1, 8), np.arange(2 * pairs).reshape(-1, 2), issame)
    return verification_result("lfw", model, judged, roc(1 - judged.distances / 2, issame))


def drawn(figure):
    pixels = cv2.imdecode(np.frombuffer(png(figure), np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape[1] == 1080 and pixels.std() > 10
    return pixels


def legend(figure):
    (only,) = figure.legends
    return [text.get_text().strip() for text in only.get_texts()]


def test_roc_curves_of_several_models():
    results = [result(0.3, "good"), result(1.5, "_poor"), result(0.8, "cost $1, or $2")]
    figure = roc_figure(results)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log" and axes.get_xlim() == (0.01, 1)  # of 100 different pairs
    curves, marks = axes.lines[0::2], axes.lines[1::2]
    for of, curve, mark in zip(results, curves, marks, strict=True):
        np.testing.assert_array_equal(curve.get_ydata(), of["roc"]["tar"])
        visible = np.array(of["roc"]["far"]) >= 0.01
        np.testing.assert_array_equal(curve.get_xdata()[visible], np.array(of["roc"]["far"])[visible])
        np.testing.assert_array_equal(mark.get_xdata(), [0.1, 0.01])
        assert min(curve.get_ydata()[curve.get_xdata() > 0.01]) >= axes.get_ylim()[0]
    assert legend(figure) == ["good", "_poor", r"cost \$1, or \$2"]
    drawn(figure)


def test_histogram():
    figure = histogram_figure(result(0.8, "a model"))
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()][:2] == ["100 different pairs", "100 same pairs"]
    for patch in axes.patches:
        assert patch.get_data().values.sum() == pytest.approx(1)
    counts, edges = sum(patch.get_data().values for patch in axes.patches), axes.patches[0].get_data().edges
    held, bin = np.flatnonzero(counts), edges[1] - edges[0]
    assert axes.get_xlim() == pytest.approx((edges[held[0]] - 2 * bin, min(edges[held[-1] + 1] + 2 * bin, edges[-1])))
    drawn(figure)


def test_a_threshold_of_principal_components_is_not_drawn_among_cosines():
    for pca, lines in ((0, 1), (2, 0)):
        (axes,) = histogram_figure({**result(0.8, "a model"), "pca": pca, "variant": ""}).axes
        assert len(axes.lines) == lines


def test_folds_of_models_stand_side_by_side():
    results = [result(0.8, "one"), result(0.8, "two")]
    figure = folds_figure(results)
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    for of, line in zip(results, points, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), [fold["accuracy"] for fold in of["folds"]])
    assert (points[0].get_xdata() < points[1].get_xdata()).all()
    assert legend(figure)[0].startswith("one, ")
    drawn(figure)


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_of_one_kind_only(kind):
    only = result(0.8, "a model", kind)
    for figure in (roc_figure([only]), histogram_figure(only), folds_figure([only])):
        drawn(figure)
    text = roc_figure([only, only]).axes[0].texts[0].get_text()
    assert text == "no curve: the set has pairs of one kind only"


def test_a_model_that_is_always_right_and_many_models():
    perfect = result(0.001, "perfect")
    drawn(histogram_figure(perfect))
    for figure in (roc_figure([perfect] * 9), folds_figure([perfect] * 9)):
        drawn(figure)
        assert max(figure.axes[0].get_yticks()) == pytest.approx(1)
