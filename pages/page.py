"""A whole page: its head, its parts, and the data and code of its curves."""

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from pathlib import Path

from pages.charts import Chart
from pages.uplot import uplot_script, uplot_style

_HERE = Path(__file__).parent
_HINT = (
    "Point at a curve to read it, drag across to zoom, double-click to see all again, and click a name below a chart "
    "to hide its curve."
)


def page(title: str, parts: Iterable[str], charts: Sequence[Chart] = (), state: str = "") -> bytes:
    """One file of HTML that loads nothing: not even what its parts might try to, which the browser is to refuse.

    parts: pieces of HTML, among them each chart's `html()`. state: a word that `style.css` has a color for.
    """
    scripts = [uplot_script(), _own("script.js")] if charts else [_own("script.js")]
    style = uplot_style() if charts else ""
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
    data = json.dumps([chart.data() for chart in charts], separators=(",", ":"), allow_nan=False)
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"<title>{escape(title)}</title>\n<style>\n{style}\n{_own('style.css')}</style>\n",
            f'</head>\n<body data-state="{escape(state)}">\n',
            *parts,
            f'<p class="note">{_HINT}</p>\n' if charts else "",
            '<script type="application/json" id="charts">',
            data.replace("<", "\\u003c"),  # or a name could end the element
            "</script>\n",
            *(f"<script>{script}</script>\n" for script in scripts),
            "</body>\n</html>\n",
        ]
    ).encode(errors="replace")


@cache
def _own(name: str) -> str:
    return (_HERE / name).read_text()


@cache
def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
