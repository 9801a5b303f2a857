"""Things in the way of a face."""

from collections.abc import Iterator

import numpy as np

from data.drawn.geometry import Shape, ellipse, mirrored, smooth
from data.drawn.identity import Identity
from data.drawn.nuisance import PATCH_LEAST, PATCH_MORE, Nuisance


def occluder(face: Identity, now: Nuisance) -> Iterator[Shape]:
    """Whatever covers a part of this picture; nothing for most."""
    draw = {"patch": _patch, "sunglasses": _sunglasses, "mask": _mask, "hand": _hand, "cap": _cap}
    if now.occlusion is not None:
        yield from draw[now.occlusion](face, now)


def _patch(face: Identity, now: Nuisance) -> Iterator[Shape]:
    x, y, width, height, tilt, _ = now.occluder
    corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (
        PATCH_LEAST + PATCH_MORE * width,
        PATCH_LEAST + PATCH_MORE * height,
    )
    cos, sin = np.cos(3 * tilt), np.sin(3 * tilt)
    yield Shape(
        corners @ np.array([[cos, sin], [-sin, cos]]) + (80 * x - 40, 90 * y - 50), now.occluder_color, depth=10
    )


def _sunglasses(face: Identity, now: Nuisance) -> Iterator[Shape]:
    color = now.occluder_color * 0.3
    width, height = 10 + 4 * now.occluder[0], 7 + 4 * now.occluder[1]
    for side in (-1, 1):
        yield Shape(ellipse(side * face.eye_x, face.eye_y + 1, width, height), color, depth=7)
        arm = [(side * (face.eye_x + width - 2), face.eye_y - 1), (side * (face.cheek + 3), face.eye_y - 3)]
        yield Shape(np.array(arm), color, width=2, depth=2)
    yield Shape(np.array([(-face.eye_x, face.eye_y - 2), (face.eye_x, face.eye_y - 2)]), color, width=1.8, depth=8)


def _mask(face: Identity, now: Nuisance) -> Iterator[Shape]:
    top = face.nose_y - 8 + 12 * now.occluder[0]
    half = [(0, top), (face.cheek * 0.6, top + 3), (face.cheek * 1.02, top + 8), (face.jaw * 1.06, 24)]
    half += [(face.chin * 1.6, face.chin_y + 3), (0, face.chin_y + 6)]
    yield Shape(smooth(mirrored(half), 1), now.occluder_color, depth=5)
    for fold in (0.35, 0.6):
        y = top + fold * (face.chin_y - top)
        line = [(-face.jaw * 0.8, y - 2), (0, y + 1), (face.jaw * 0.8, y - 2)]
        yield Shape(np.array(line), now.occluder_color * 0.8, width=0.8, depth=6)


def _hand(face: Identity, now: Nuisance) -> Iterator[Shape]:
    """Fingers that reach in from one side, over cheek and mouth."""
    side = -1 if now.occluder[0] < 0.5 else 1
    reach, y = 4 + 22 * now.occluder[1], 40 * now.occluder[2] - 12
    for finger in range(4):
        tip = np.array([side * (reach + 3 * abs(finger - 1.5)), y + 7.5 * finger])
        root = np.array([side * 70, y + 12 + 9 * finger])
        yield Shape(np.array([root, tip]), face.skin * 0.66, width=8.5, depth=14)
        yield Shape(np.array([root, tip]), face.skin * 0.92, width=7.0, depth=14)


def _cap(face: Identity, now: Nuisance) -> Iterator[Shape]:
    side, brim = face.cheek + 5, -40 + 8 * now.occluder[0]
    yield Shape(smooth(mirrored([(side * 0.5, -76), (side * 0.95, -62), (side, brim)])), now.occluder_color, depth=3)
    peak = [(0, brim - 8), (side * 0.9, brim - 5), (side * 1.02, brim + 1), (0, brim + 5)]
    yield Shape(smooth(mirrored(peak)), now.occluder_color * 0.7, depth=12)
