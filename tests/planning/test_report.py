"""Tables and plots of speed runs."""

from xml.etree import ElementTree

from planning.plot import bars
from planning.report import machine, markdown, plot, table

GOOD = {"classes": 10_000, "sample_rate": 0.1, "ranks": 2, "images_per_second": 51.24, "step_ms": 2500.0}
GOOD |= {"head_share": 0.25, "memory_bytes": 3 << 29}
POINTS = [
    GOOD,
    GOOD | {"classes": 1_000_000, "images_per_second": 20.0, "head_share": None},
    {"classes": 10_000_000, "sample_rate": 0.1, "ranks": 2, "out_of_memory": "it was killed", "memory_bytes": 1},
]


def test_the_table_has_a_row_for_each_point():
    _, _, first, second, third = table(POINTS).splitlines()
    assert first == "| 10000 | 0.1 | 2 | 51.2 | 2500 | 25% | 1.50 GiB |"
    assert second.split("|")[6].strip() == "-"
    assert "out of memory: it was killed" in third


def test_the_plot_is_a_picture_of_all_that_ran():
    root = ElementTree.fromstring(plot("r50 <64>", POINTS))
    lines = root.findall(".//{*}g[@id='sample_rate 0.1, 2 rank(s)']")
    assert [len(line.findall(".//{*}use")) for line in lines] == [2, 2]  # a marker for each point, in both panels
    words = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "r50 <64>" in words and "GiB of memory per rank" in words


def test_one_point_or_none_can_be_plotted():
    for points in (POINTS[:1], POINTS[2:], []):
        ElementTree.fromstring(plot("few", points))


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
