"""The features of a face as shapes, given who it is and the expression of the moment."""

from collections.abc import Iterator

import numpy as np

from data.drawn.geometry import Shape, ellipse, mirrored, smooth
from data.drawn.identity import Identity
from data.drawn.nuisance import Nuisance

_TOP = -64.0  # y of the bare skull's top
_MIDDLE = np.array([0.0, -6.0])  # of the head
_ROUNDNESS = 0.7  # of an eye's corners
_ACROSS = np.linspace(-1.0, 1.0, 9)  # an eye, from corner to corner,
_ALMOND = (1.0 - _ACROSS**2) ** _ROUNDNESS  # and how far it is open there
_ALONG = np.linspace(-1.0, 1.0, 7)  # a brow, from the nose to the temple,
_TAPER = np.array([0.8, 1.0, 1.0, 0.95, 0.8, 0.6, 0.25])  # and how thick it is there


def neck_and_ears(face: Identity) -> Iterator[Shape]:
    yield Shape(
        smooth(mirrored([(face.jaw * 0.68, 15), (face.jaw * 0.72, 48), (face.jaw * 1.5, 70)])), face.skin * 0.62
    )
    for side in (-1, 1):
        ear = (side * (face.cheek + face.ear * 0.35), -8.0, face.ear, face.ear * 1.9, side * 0.18)
        yield Shape(ellipse(*ear), face.skin * 0.8, depth=-8)
        yield Shape(ellipse(ear[0], ear[1], face.ear * 0.45, face.ear * 1.2, ear[4]), face.skin * 0.62, depth=-8)


def head(face: Identity, light: tuple[float, float]) -> Iterator[Shape]:
    """Contours that shrink towards the light get lighter; blurred, they make the head round."""
    outline = [
        (face.forehead * 0.42, _TOP),
        (face.forehead * 0.86, _TOP + 9),
        (face.forehead * 1.03, -40),
        (face.cheek * 1.02, -20),
        (face.cheek * 1.01, 2),
        (face.jaw * 1.05, 22),
        (face.chin + (face.jaw - face.chin) * 0.42, face.chin_y - 5),
        (face.chin * 0.9, face.chin_y + 2),
    ]
    from_middle = smooth(mirrored(outline)) - _MIDDLE
    for size, tone in ((1.0, 0.76), (0.95, 0.83), (0.89, 0.89), (0.82, 0.94), (0.73, 0.98), (0.6, 1.01)):
        towards = np.array(light) * ((1.0 - size) * 26)
        yield Shape(from_middle * size + (_MIDDLE + towards), np.minimum(face.skin * tone, 255))


def eyes(face: Identity, now: Nuisance) -> Iterator[Shape]:
    width, height = face.eye_width, face.eye_height * now.eye_open
    lid = _ACROSS * width, height * _ALMOND
    gaze_x, gaze_y = now.gaze
    for side in (-1, 1):

        def place(x: np.ndarray, y: np.ndarray, side: int = side) -> np.ndarray:
            """x grows towards the temple, where the corner rises."""
            return np.array([side * (face.eye_x + x), face.eye_y + y - face.eye_slant * x]).T

        upper, lower = place(lid[0], -lid[1]), place(lid[0], 0.75 * lid[1])
        yield Shape(place(lid[0] * 1.1, -(height + 1.6) * _ALMOND), face.skin * 0.68, width=0.8)
        yield Shape(np.concatenate([upper, lower[::-1]]), np.array([183.0, 180.0, 177.0]) + 0.2 * face.skin)
        for radius, color in ((0.5 * width, face.iris), (0.25 * width, face.iris * 0.2)):
            x, y = ellipse(side * gaze_x, gaze_y - 0.1 * height, radius, radius).T
            opening = height * np.maximum(1.0 - (x / width) ** 2, 0.0) ** _ROUNDNESS  # the lids cover the rest
            yield Shape(place(x, np.minimum(np.maximum(y, -opening), 0.75 * opening)), color)
        if height > 2:
            glint = (side * face.eye_x + gaze_x + 0.12 * width, face.eye_y + gaze_y - 0.15 * width)
            yield Shape(ellipse(*glint, 0.7, 0.7, count=8), np.array([250.0, 250.0, 250.0]))
        yield Shape(upper, face.brow * 0.5, width=1.2)
        yield Shape(lower, face.skin * 0.6, width=0.5)


def brows(face: Identity, now: Nuisance) -> Iterator[Shape]:
    x = face.eye_x + 0.5 + _ALONG * face.brow_length
    line = -face.brow_arch * (1 - (_ALONG - 0.3) ** 2) - face.brow_slant * face.brow_length * _ALONG
    y = face.eye_y - face.brow_gap - now.brow_raise + line
    thickness = face.brow_thickness * _TAPER
    right = np.concatenate([np.array([x, y - thickness]).T, np.array([x, y + thickness]).T[::-1]])
    for side in (-1, 1):
        yield Shape(right * (side, 1), 0.85 * face.brow + 0.15 * face.skin, depth=2)


def nose(face: Identity, light: tuple[float, float]) -> Iterator[Shape]:
    y, width, bridge = face.nose_y, face.nose_width, face.nose_bridge
    dark, side = face.skin * 0.7, -1 if light[0] > 0 else 1  # the bridge throws its shadow away from the light
    ridge = [(side * bridge, face.eye_y - 1), (side * bridge, y - 10), (side * width * 0.8, y - 3), (side * width, y)]
    yield Shape(
        np.array([*ridge, (side * width * 0.55, y - 3), (side * bridge * 0.6, face.eye_y)]), face.skin * 0.84, depth=6
    )
    base = [(width * 0.25, y + 2.6), (width * 0.95, y + 2.0), (width * 1.0, y + 0.4), (width * 0.5, y - 0.4)]
    yield Shape(smooth(mirrored(base[::-1])), face.skin * 0.8, depth=8)
    for wing in (-1, 1):
        arc = [(wing * width * 0.85, y - 4.4), (wing * width * 1.08, y - 1.8), (wing * width * 0.98, y + 1.0)]
        yield Shape(np.array(arc), dark, width=0.9, depth=7)
        yield Shape(ellipse(wing * width * 0.48, y + 0.8, width * 0.24, 1.2, count=8), face.skin * 0.3, depth=9)


def mouth(face: Identity, now: Nuisance) -> Iterator[Shape]:
    width, y, gap = face.mouth_width + 0.5 * now.smile, face.mouth_y, now.mouth_open
    corner = y - now.smile
    if gap > 0.8:
        inside = [(0, y - 0.4), (width * 0.6, y), (width * 0.97, corner), (width * 0.6, y + gap), (0, y + gap + 0.6)]
        yield Shape(smooth(mirrored(inside)), np.array([62.0, 22.0, 24.0]), depth=3)
        teeth = [(width * 0.62, y - 0.2), (width * 0.55, y + min(gap * 0.55, 2.4))]
        yield Shape(mirrored(teeth), np.array([226.0, 220.0, 208.0]), depth=3)
    low = [(0, y + gap), (width * 0.55, y + gap - 0.2), (width, corner)]
    low_edge = [(width * 0.55, y + gap + face.lower_lip * 0.92), (0, y + gap + face.lower_lip * 1.1)]
    yield Shape(_symmetric(low, low_edge), np.minimum(face.lip * 1.06, 255), depth=4)
    high = [(0, y - face.upper_lip * 0.72), (width * 0.26, y - face.upper_lip), (width, corner)]
    yield Shape(_symmetric(high, [(width * 0.45, y + 0.3), (0, y + 0.5)]), face.lip * 0.9, depth=5)
    line = [(-width, corner), (-width * 0.45, y + 0.2), (0, y + 0.4), (width * 0.45, y + 0.2), (width, corner)]
    yield Shape(np.array(line), face.lip * 0.5, width=0.6, depth=4)


def _symmetric(first: list, second: list) -> np.ndarray:
    """Closed lip: its right half runs from the middle to the corner (first) and back (second)."""
    return smooth(mirrored([*first, *second]), 1)


def beard(face: Identity) -> Iterator[Shape]:
    """Painted before the head is blurred, so that it grows out of the skin."""
    if face.beard == "none":
        return
    tone = face.hair * 0.8 + face.skin * 0.1
    if face.beard in ("stubble", "full"):
        color = tone if face.beard == "full" else 0.42 * face.hair + 0.5 * face.skin
        half = [
            (0, face.mouth_y - face.upper_lip - 3),
            (face.mouth_width + 5, face.mouth_y - 5),
            (face.cheek * 0.82, -2),
            (face.cheek * 0.98, -10),
            (face.jaw * 1.04, 22),
            (face.chin + (face.jaw - face.chin) * 0.45, face.chin_y - 3),
            (0, face.chin_y + 4),
        ]
        yield Shape(smooth(mirrored(half), 1), color)
    if face.beard in ("moustache", "goatee"):
        top = face.mouth_y - face.upper_lip
        wings = [
            (0, top - 4.5),
            (face.mouth_width * 0.7, top - 3.5),
            (face.mouth_width * 1.15, face.mouth_y + 2),
            (0, top),
        ]
        yield Shape(smooth(mirrored(wings), 1), tone, depth=4)
    if face.beard == "goatee":
        below = face.mouth_y + face.lower_lip
        yield Shape(ellipse(0, (below + face.chin_y) / 2 + 3, face.mouth_width * 0.8, (face.chin_y - below) / 2), tone)


def marks(face: Identity) -> Iterator[Shape]:
    for x, y in face.freckles:
        yield Shape(ellipse(x, y, 0.7, 0.7, count=6), face.skin * np.array([0.72, 0.64, 0.58]))
    for x, y, radius in face.moles:
        yield Shape(ellipse(x, y, radius, radius, count=8), face.skin * 0.36)
    if face.scar is not None:
        yield Shape(face.scar, np.minimum(face.skin * np.array([1.12, 0.88, 0.86]), 255), width=1.3)
        yield Shape(np.add(face.scar, (0.0, 1.0)), face.skin * 0.7, width=0.6)


def glasses(face: Identity) -> Iterator[Shape]:
    if face.glasses is None:
        return
    width, height, color = face.glasses[0], face.glasses[1], face.glasses[2:]
    for side in (-1, 1):
        x = side * face.eye_x
        corners = [(-1, -0.9), (0, -1), (1, -0.9), (1.02, 0), (0.8, 0.9), (0, 1), (-0.8, 0.9), (-1.02, 0)]
        rim = smooth(corners, 1) * (width, height) + (x, face.eye_y + 1)
        yield Shape(np.concatenate([rim, rim[:1]]), color, width=1.4, depth=7)
        temple = [(side * (face.eye_x + width), face.eye_y - 1), (side * (face.cheek + 3), face.eye_y - 3)]
        yield Shape(np.array(temple), color, width=1.2, depth=2)
    inner = max(face.eye_x - width, 0.5)
    yield Shape(np.array([(-inner, face.eye_y), (0, face.eye_y - 1.4), (inner, face.eye_y)]), color, width=1.4, depth=9)


def shirt(now: Nuisance) -> Shape:
    return Shape(smooth(mirrored([(16, 46), (60, 56), (80, 90)]), 1), now.shirt, depth=-10)
