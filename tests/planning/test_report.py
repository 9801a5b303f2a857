"""Tables and plots of speed runs."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from planning.plot import bars
from planning.report import machine, markdown, plot, table

GOOD = {"classes": 10_000, "sample_rate": 0.1, "ranks": 2, "images_per_second": 51.24, "step_ms": 2500.0}
GOOD |= {"head_share": 0.25, "memory_bytes": 3 << 29}
POINTS = [
    GOOD,
    GOOD | {"classes": 1_000_000, "images_per_second": 20.0, "head_share": None},
    {"classes": 10_000_000, "sample_rate": 0.1, "ranks": 2, "out_of_memory": "it was killed", "memory_bytes": 1},
]
LINE = "sample_rate 0.1, 2 rank(s)"
BLUE, ORANGE = "#1f77b4", "#ff7f0e"


def markers(root, line):
    """Of a line, in each panel: its color, and (x, y) of its markers."""
    found = []
    for group in root.findall(f".//{{*}}g[@id='{line}']"):
        uses = group.findall(".//{*}use")
        (color,) = {re.search("fill: (#[0-9a-f]+)", use.get("style"))[1] for use in uses}
        found.append((color, np.array([[float(use.get(axis)) for axis in "xy"] for use in uses])))
    return found


def bar_ends(root, panel, color):
    """Of the bars of a color in a panel, counted from 1: where they end (x) and their middle (y)."""
    paths = root.findall(f".//{{*}}g[@id='axes_{panel}']/{{*}}g/{{*}}path[@clip-path]")
    drawn = [path.get("d").split() for path in paths if path.get("style") == f"fill: {color}"]
    corners = [np.array([float(word) for word in words if word not in "MLz"]).reshape(4, 2) for words in drawn]
    return np.array([(each[:, 0].max(), each[:, 1].mean()) for each in corners])


def test_the_table_has_a_row_for_each_point():
    _, _, first, second, third = table(POINTS).splitlines()
    assert first == "| 10000 | 0.1 | 2 | 51.2 | 2500 | 25% | 1.50 GiB |"
    assert second.split("|")[6].strip() == "-"
    assert "out of memory: it was killed" in third


def test_the_plot_is_a_picture_of_all_that_ran():
    last = GOOD | {"classes": 100_000, "images_per_second": 80.0, "memory_bytes": 3 << 31}
    other = [point | {"sample_rate": 0.5, "images_per_second": 30.0} for point in (GOOD, last)]
    root = ElementTree.fromstring(plot("r50 <64>", [*POINTS, last, *other]))
    ((color, speed), (again, memory)), (one, two) = markers(root, LINE), markers(root, LINE.replace("0.1", "0.5"))
    assert (color, one[0]) == (again, two[0]) == (BLUE, ORANGE)
    for panel, values in ((speed, [51.24, 80.0, 20.0]), (memory, [1.5, 6.0, 1.5])):  # in the order of classes
        x, y = panel.T
        assert x[1] - x[0] == pytest.approx(x[2] - x[1]) and x[0] < x[1]  # a tenfold each
        heights = (y[0] - y[1:]) / (y[0] - y[1])  # upwards, in units of the second point's
        np.testing.assert_allclose(heights, np.log(np.divide(values[1:], values[0])) / np.log(values[1] / values[0]))
    assert one[1][0, 1] == pytest.approx(one[1][1, 1]) and speed[1, 1] < speed[0, 1] < one[1][0, 1] < speed[2, 1]
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"r50 <64>", "img/s", "GiB of memory per rank", "identities", LINE} <= set(words)


@pytest.mark.parametrize(("points", "drawn"), [(POINTS[:1], 1), (POINTS[2:], 0), ([], 0)])
def test_one_point_or_none_can_be_plotted(points, drawn):
    root = ElementTree.fromstring(plot("few", points))
    assert [len(panel) for _, panel in markers(root, LINE)] == [1] * 2 * drawn
    assert len(root.findall(".//{*}g[@id='legend_1']")) == drawn


def test_the_machine_is_named():
    assert machine()["cores"] >= 1 and machine()["oneflow"].startswith("0.9")


def test_a_table_of_even_columns():
    assert markdown(["a", "b"], [["long", "1"], ["x", "22"]]).splitlines() == [
        *("| a    |  b |", "| ---- | -: |", "| long |  1 |", "| x    | 22 |")
    ]


def test_bars_have_a_name_and_a_figure_each():
    root = ElementTree.fromstring(bars("speed <1>", ["mbf", "r18"], [("ms", {"fp32": [1, 20], "int8": [0.5, 4]})]))
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"speed <1>", "ms", "mbf", "r18", "fp32", "int8", "0.5", "20"} <= set(words)
    (ends, rows), (others, below) = (bar_ends(root, 1, color).T for color in (BLUE, ORANGE))
    assert rows[0] < below[0] < rows[1] < below[1]  # by network from the top, and by precision within
    lengths = np.array([*ends, *others])
    scale = (ends[1] - ends[0]) / np.log(20)
    np.testing.assert_allclose(lengths - ends[0], scale * np.log([1, 20, 0.5, 4]), atol=1e-3)
    assert scale > 0
