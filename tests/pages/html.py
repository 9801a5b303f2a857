"""Pages as a browser sees them, read by Python's parser."""

import json
from html.parser import HTMLParser


class Page(HTMLParser):
    """elements: (tag, attributes) in order; text: all that is said; scripts: code, by its type ("" for JavaScript)."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.scripts, self.cells = [], "", [], []
        self._script = self._row = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self._script = dict(attributes).get("type", "")
            self.scripts.append((self._script, ""))
        elif tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th") and self.cells:
            self.cells[-1].append("")
            self._row = self.cells[-1]

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None
        elif tag in ("td", "th"):
            self._row = None

    def handle_data(self, data):
        if self._script is not None:
            kind, before = self.scripts[-1]
            self.scripts[-1] = kind, before + data
            return
        self.text += data
        if self._row is not None:
            self._row[-1] += data

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def charts(self):
        """What is drawn, by key, as pages/charts.py writes it; each has its place on the page."""
        (content,) = [content for kind, content in self.scripts if kind == "application/json"]
        charts = {chart["key"]: chart for chart in json.loads(content)}
        places = [figure["id"].removeprefix("chart-") for figure in self.attributes("figure") if "id" in figure]
        assert sorted(places) == sorted(charts)
        return charts

    def curves(self, key):
        """The series of a chart: (x, y) by name."""
        return {series["name"]: (series["x"], series["y"]) for series in self.charts[key]["series"]}


def loads_nothing(page):
    """Whether a page names nothing that a browser would fetch."""
    for tag, attributes in page.elements:
        if tag in ("link", "iframe", "object", "embed", "base"):
            return False
        for name in ("src", "srcset", "action", "poster"):
            if name in attributes and not attributes[name].startswith("data:"):
                return False
        if "url(" in attributes.get("style", "").replace("url(data:", ""):
            return False
    return True
