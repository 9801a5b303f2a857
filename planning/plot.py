"""Speed and memory against the number of identities, as an SVG of two panels; no library is needed for it."""

import math
from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 380, 260, 70, 50, 90
_COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#787774")

Line = tuple[str, Sequence[tuple[float, float]]]  # its name, and (x, y) of its points, all above 0


def draw(title: str, panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """panels: what is on the vertical axis, and its lines. Both axes are logarithmic; lines keep their colours."""
    width = len(panels) * (_WIDTH + _GAP) + _GAP // 2
    names = list(dict.fromkeys(name for _, lines in panels for name, _ in lines))
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
    height = _TOP + _HEIGHT + 50 + 18 * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12" fill="#37352f">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for number, (label, lines) in enumerate(panels):
        parts += _panel(_LEFT + number * (_WIDTH + _GAP), label, lines, colours)
    for row, name in enumerate(names):
        y = _TOP + _HEIGHT + 52 + 18 * row
        parts.append(f'<circle cx="{_LEFT + 6}" cy="{y - 4}" r="4" fill="{colours[name]}"/>')
        parts.append(f'<text x="{_LEFT + 18}" y="{y}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: float, label: str, lines: Sequence[Line], colours: dict[str, str]) -> list[str]:
    points = [point for _, line in lines for point in line]
    parts = [f'<text x="{left}" y="{_TOP - 8}">{escape(label)}</text>']
    if not points:
        return [*parts, f'<text x="{left}" y="{_TOP + 20}">no figures</text>']
    x_ticks, y_ticks = [_ticks([point[axis] for point in points]) for axis in (0, 1)]
    place = _scale(x_ticks, left, left + _WIDTH), _scale(y_ticks, _TOP + _HEIGHT, _TOP)
    for tick in x_ticks:
        x = place[0](tick)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{_TOP + _HEIGHT}" stroke="#e3e2e0"/>')
        parts.append(f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 18}" text-anchor="middle">{_short(tick)}</text>')
    for tick in y_ticks:
        y = place[1](tick)
        parts.append(f'<path d="M{left} {y:.1f}H{left + _WIDTH}" stroke="#e3e2e0"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    for name, line in lines:
        where = [(place[0](x), place[1](y)) for x, y in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[name]}"/>' for x, y in where]
    return parts


def _ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times the powers of ten from below the smallest value to above the largest, at most about eight."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    low = max((tick for tick in ticks if tick <= min(values)), default=ticks[0])
    high = min((tick for tick in ticks if tick >= max(values)), default=ticks[-1])
    kept = [tick for tick in ticks if low <= tick <= high]
    return kept if len(kept) > 1 else [low, low * 10]


def _scale(ticks: Sequence[float], start: float, end: float):
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])
    return lambda value: start + (end - start) * (math.log10(value) - low) / (high - low)


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
