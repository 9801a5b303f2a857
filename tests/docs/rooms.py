"""Draws which rooms import which, on the floors of tests/test_rooms.py: python -m tests.docs.rooms

Writes docs/rooms.svg. A line goes from a room down to one that it imports, as wide as the imports are many; utils,
which every room imports, has no lines. Printed besides: lines of Python per room, and the longest files.
"""

from collections import Counter
from html import escape
from math import log2
from pathlib import Path

from tests.test_rooms import HOUSE, MODULES, REPO, imports, room

PICTURE = REPO / "docs/rooms.svg"
# The programs are one box, and a folder with a floor of its own stays with the one around it unless HOUSE parts them.
PROGRAMS = HOUSE[-1]
WIDTH, BOX, FLOOR = 980, (118, 34), 86
COLORS = ("#2a6fdb", "#c2571a", "#2c8a4b", "#8b4fc0", "#b8326b", "#0f8a91", "#8a7413")


def box_of(module: str) -> str:
    name = room(module, HOUSE) or ""
    return "programs" if name in PROGRAMS else name


def count_imports() -> Counter[tuple[str, str]]:
    """How many modules of one room import one of another."""
    pairs = ((box_of(module), box_of(other)) for module in MODULES for other in imports(module))
    return Counter((above, below) for above, below in pairs if above != below and below != "utils")


def places() -> dict[str, tuple[float, float]]:
    """The middle of each room's box, in pixels. Floors are moved a little sideways in turn, so that the lines of one do
    not hide behind the boxes of the next.
    """
    floors = [*HOUSE[:-1], ("programs",)]
    height = len(floors) * FLOOR
    return {
        name: (WIDTH * (place + 0.5) / len(names) + 60 * (floor % 3 - 1) / len(names), height - FLOOR * (floor + 0.5))
        for floor, names in enumerate(floors)
        for place, name in enumerate(names)
    }


def draw() -> str:
    middle = places()
    importers = [name for name in sorted(middle, key=lambda name: middle[name][1]) if name != "utils"]
    color = {name: COLORS[number % len(COLORS)] for number, name in enumerate(importers)}
    width, height = BOX
    lines, boxes = [], []
    for (above, below), count in sorted(count_imports().items()):
        (x1, y1), (x2, y2) = middle[above], middle[below]
        y1, y2 = y1 + height / 2, y2 - height / 2
        bend = (y2 - y1) / 2
        lines.append(
            f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}" '
            f'stroke="{color[above]}" stroke-width="{1 + log2(count) / 2:.1f}">'
            f"<title>{escape(above)} imports {escape(below)}: {count}</title></path>"
        )
    for name, (x, y) in middle.items():
        boxes.append(
            f'<rect x="{x - width / 2:.0f}" y="{y - height / 2:.0f}" width="{width}" height="{height}" rx="6" '
            f'stroke="{color.get(name, "#667")}"/><text x="{x:.0f}" y="{y + 5:.0f}">{escape(name)}</text>'
        )
    size = f"{WIDTH} {FLOOR * len(HOUSE)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="14">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n<g fill="none" stroke-opacity="0.55">\n'
        + "\n".join(lines)
        + '\n</g>\n<g fill="#fff" stroke-width="1.5" text-anchor="middle">\n'
        + "\n".join(boxes).replace("<text", '<text fill="#223" stroke="none"')
        + "\n</g>\n</svg>\n"
    )


def print_sizes() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in MODULES.values()}
    rooms: Counter[str] = Counter()
    for module, path in MODULES.items():
        rooms[box_of(module)] += lengths[path]
    print(", ".join(f"{name} {lines:,}" for name, lines in rooms.most_common()))
    for path in sorted(lengths, key=lengths.__getitem__, reverse=True)[:8]:
        print(f"{lengths[path]:5} {Path(path).relative_to(REPO)}")


if __name__ == "__main__":
    PICTURE.write_text(draw())
    print_sizes()
