"""Whole pages: what they hold, what they refuse, and that nothing in them ends a piece of it too early."""

import base64
import hashlib
import re

import pytest

from pages.charts import Chart, Series
from pages.html import facts, table
from pages.page import page
from pages.uplot import uplot_script
from tests.pages.html import Page, loads_nothing

pytestmark = pytest.mark.fast
NASTY = '</script><script>alert("x")</script>&amp;\u2028'
# Of uPlot 1.6.31's dist/uPlot.iife.min.js, as its author publishes it.
UPLOT = "2d27e8ad3d228164525ce213f9dc716f39b4e3aee0cc773fb3491c96cf4921a2"


def chart(**more):
    return Chart("loss", NASTY, [Series(NASTY, [1, 2, 3], [0.1, float("nan"), 1 / 3])], "step", **more)


def policy(parsed):
    (content,) = [each["content"] for each in parsed.attributes("meta") if "http-equiv" in each]
    return dict(part.strip().split(" ", 1) for part in content.split(";"))


def test_a_page_loads_nothing_and_allows_its_own_scripts_alone():
    parsed = Page(page(NASTY, [chart().html()], [chart()]).decode())
    assert loads_nothing(parsed)
    rules = policy(parsed)
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    code = [content for kind, content in parsed.scripts if kind == ""]
    digests = {f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in code}
    assert set(rules["script-src"].split()) == digests and len(code) == 2


def test_names_stay_names_and_numbers_come_back():
    parsed = Page(page(NASTY, [chart().html()], [chart(marks=[(2, NASTY)])]).decode())
    assert len(parsed.scripts) == 3 and "alert" not in "".join(
        content for kind, content in parsed.scripts if kind == ""
    )
    assert parsed.curves("loss") == {NASTY: ([1, 2, 3], [0.1, None, 0.333333])}
    assert parsed.charts["loss"]["marks"] == [[2, NASTY]]
    assert NASTY in parsed.text


def test_the_library_is_the_published_one_and_brings_its_license():
    code = uplot_script()
    assert hashlib.sha256(code[code.rindex("/*! https") :].encode()).hexdigest() == UPLOT
    assert "Copyright (c) 2022 Leon Sorokin" in code and "THE SOFTWARE IS PROVIDED" in code
    assert code.index("*/") > code.index("OTHER DEALINGS")


def test_a_page_without_curves_is_small():
    content = page("words", ["<p>hello</p>"])
    assert b"Sorokin" not in content and len(content) < 40_000


def test_tables_and_facts_escape_what_they_show():
    parsed = Page(table(["a", "b"], [[NASTY, "<b>"]]) + facts({NASTY: "<i>", "empty": ""}))
    assert parsed.cells == [["a", "b"], [NASTY, "<b>"]]
    assert {tag for tag, _ in parsed.elements} == {"div", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"}
    assert "empty" not in parsed.text


def test_light_and_dark_have_the_same_colors_by_name():
    text = page("x", []).decode()
    light, dark = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    names = [set(re.findall(r"(--[\w-]+):", part)) for part in (light, dark)]
    assert names[0] == names[1] and {f"--c{number}" for number in range(7)} < names[0]
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) - {"--sheet"} <= names[0]
