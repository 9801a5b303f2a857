"""Pieces of pages. Whatever comes from outside is escaped here."""

import base64
from collections.abc import Mapping, Sequence
from html import escape


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "figures") -> str:
    """A table whose rows have names at their beginning. kind: "figures" to the right, or "words" to the left."""
    lines = [f'<div class="scroll"><table class="{kind}">\n<thead><tr>']
    lines += [*(f"<th>{escape(cell)}</th>" for cell in head), "</tr></thead>\n<tbody>\n"]
    for name, *cells in rows:
        lines += [f"<tr><th>{escape(name)}</th>", *(f"<td>{escape(cell)}</td>" for cell in cells), "</tr>\n"]
    return "".join([*lines, "</tbody></table></div>\n"])


def facts(pairs: Mapping[str, str]) -> str:
    """Names and what they are, side by side."""
    rows = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items() if value)
    return f'<dl class="facts">{"".join(rows)}</dl>\n'


def tiles(pairs: Sequence[tuple[str, str, str]]) -> str:
    """The figures that matter most: (name, value, what is said below it)."""
    parts = (
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(below)}</small></div>'
        for name, value, below in pairs
    )
    return f'<div class="tiles">{"".join(parts)}</div>\n'


def folded(heading: str, content: str) -> str:
    """What opens when its heading is clicked."""
    return f"<details><summary>{escape(heading)}</summary>\n{content}</details>\n"


def link(target: str, words: str) -> str:
    """target: a path relative to the page."""
    return f'<a href="{escape(target)}">{escape(words)}</a>'


def image(content: bytes, words: str, kind: str = "png") -> str:
    return f'<img alt="{escape(words)}" src="{data_uri(content, kind)}">\n'


def data_uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
