"""Hair: what hangs behind the head, and what lies on it down to the hairline."""

from collections.abc import Iterator

import numpy as np

from data.drawn.geometry import Shape, smooth
from data.drawn.identity import Identity

_TOP = -66.0  # y of the skull's top with no volume

# style: (volume factor, end of the back hair, end of the sides, how far the fringe hangs, how far the temples recede)
_STYLES = {
    "bald": None,
    "buzz": (0.1, -20.0, -18.0, 0.0, 4.0),
    "short": (0.6, -12.0, -14.0, 2.0, 3.0),
    "parted": (0.8, -10.0, -12.0, 3.0, 0.0),
    "fringe": (0.8, -4.0, -8.0, 14.0, 0.0),
    "curly": (1.7, 6.0, -10.0, 2.0, 0.0),
    "long": (0.9, 62.0, 8.0, 0.0, 0.0),
    "long_fringe": (0.9, 58.0, 6.0, 14.0, 0.0),
    "receding": (0.35, -14.0, -12.0, -8.0, 12.0),
}


def _curl(points: np.ndarray, amount: float) -> np.ndarray:
    """Points pushed out and in along the outline, in turn."""
    push = 1.0 + amount * np.where(np.arange(len(points)) % 2, 1.0, -1.0)[:, None]
    return points * push


def _outer(face: Identity, volume: float, end: float) -> np.ndarray:
    """Outer edge (n, 2) from the left end over the top to the right end."""
    side, top = face.cheek + 1.0 + 0.6 * volume, _TOP - volume
    half = [(side, end), (side, min(-26.0, end - 8)), (side * 0.96, -44), (side * 0.8, top + 12), (side * 0.42, top)]
    right = np.array(half)
    return np.concatenate([right * (-1, 1), right[::-1]])


def behind(face: Identity) -> Iterator[Shape]:
    """Painted before the head."""
    style = _STYLES[face.hair_style]
    if style is None:
        return
    factor, end, *_ = style
    volume = factor * face.volume
    edge = _outer(face, volume, end)
    if face.hair_style == "curly":
        edge = _curl(smooth(edge, 1), 0.035)
    yield Shape(smooth(edge, 1), face.hair * 0.66, depth=-6)


def above(face: Identity) -> Iterator[Shape]:
    """Painted after the head: between the outer edge and the hairline, with a few strands."""
    style = _STYLES[face.hair_style]
    if style is None:
        return
    factor, _, end, fringe, recede = style
    volume = factor * face.volume
    line = face.hairline + fringe
    slope = 7.0 * face.parting if face.hair_style in ("parted", "long", "short") else 0.0
    inner_x = face.cheek * np.array([0.97, 0.93, 0.86, 0.62, 0.3, 0.0, -0.3, -0.62, -0.86, -0.93, -0.97])
    drop = np.array([0.0, 0.0, 10.0, 1.0 - recede, -recede * 0.4, 0.0, -recede * 0.4, 1.0 - recede, 10.0, 0.0, 0.0])
    inner_y = line + drop + slope * inner_x / face.cheek
    inner_y[[0, -1]] = end
    inner_y[[1, -2]] = min(end - 2, -20.0)
    inner = np.stack([inner_x, inner_y], 1)
    outer = _outer(face, volume, end)
    color = 0.6 * face.hair + 0.32 * face.skin if face.hair_style == "buzz" else face.hair
    if face.hair_style == "curly":
        inner, outer = _curl(inner, 0.03), _curl(smooth(outer, 1)[:-2], 0.035)  # less its closing edge
    yield Shape(smooth(np.concatenate([outer, inner]), 2), color, depth=1)
    if face.hair_style not in ("buzz", "curly"):
        yield from _strands(face, inner, _TOP - volume, color)


def _strands(face: Identity, inner: np.ndarray, top: float, color: np.ndarray) -> Iterator[Shape]:
    """Lighter and darker lines from the parting to the hairline."""
    root = np.array([12.0 * face.parting, top + 5])
    for number, end in enumerate(inner[[1, 2, 3, 4, 6, 7, 8, 9]]):
        middle = 0.5 * (root + end) + (0.22 * (end[0] - root[0]), -0.16 * abs(end[0] - root[0]))
        tone = np.clip(color * (1.3 if number % 2 else 0.72) + (8 if number % 2 else 0), 0, 255)
        yield Shape(np.array([root, middle, np.add(end, (0, -2))]), tone, width=1.0, depth=2)
