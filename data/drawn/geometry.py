"""The face frame, smooth shapes in it, and the view that carries them onto the canvas.

The face frame is measured in pixels of the 112x112 crop: x to the right, y down, the origin between eyes and mouth
(crop position ORIGIN). Faces are drawn flat; depth follows from a curved surface, so that a turned head shows parallax.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

SIZE = 112  # side of a crop
ORIGIN = (
    56.0,
    72.0,
)  # of the face frame, in the crop: eyes are then near y = 52, the mouth near y = 92, as ArcFace aligns
_FALL = np.array([0.010, 0.003])  # the head falls away towards its sides, less so up and down: depth per square pixel
_FRACTION = 4  # bits of sub-pixel precision in OpenCV's drawing


@dataclass(frozen=True)
class Shape:
    """One stroke of the brush: points (n, 2) of the face frame, color (3,) RGB 0..255.

    width: 0 fills the closed polygon, else the polyline is drawn that wide (crop pixels).
    depth: how far it stands out of the face's surface (crop pixels).
    """

    points: np.ndarray
    color: np.ndarray
    width: float = 0.0
    depth: float = 0.0


@lru_cache(maxsize=64)
def _corner_cutting(count: int, rounds: int) -> np.ndarray:
    """(count * 2**rounds, count) matrix that rounds a closed polygon by cutting its corners `rounds` times."""
    matrix = np.eye(count)
    for _ in range(rounds):
        following = np.roll(matrix, -1, axis=0)
        matrix = np.stack([0.75 * matrix + 0.25 * following, 0.25 * matrix + 0.75 * following], 1).reshape(-1, count)
    return matrix


def smooth(points, rounds: int = 2) -> np.ndarray:
    """Closed polygon through (nearly) these (n, 2) corners, rounded: (n * 2**rounds, 2)."""
    points = np.asarray(points, np.float64)
    return _corner_cutting(len(points), rounds) @ points


def mirrored(half) -> np.ndarray:
    """Closed symmetric polygon from its right half, (n, 2) from top to bottom: (2n, 2)."""
    half = np.asarray(half, np.float64)
    return np.concatenate([half, half[::-1] * (-1.0, 1.0)])


@lru_cache(maxsize=8)
def _circle(count: int) -> np.ndarray:
    angle = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def ellipse(x: float, y: float, rx: float, ry: float, tilt: float = 0.0, count: int = 16) -> np.ndarray:
    """Polygon (count, 2) of the ellipse around (x, y), turned by tilt radians."""
    ring = _circle(count) * (rx, ry)
    if tilt:
        cos, sin = math.cos(tilt), math.sin(tilt)
        ring = ring @ np.array([[cos, sin], [-sin, cos]])
    return np.add(ring, (x, y))


@dataclass(frozen=True)
class View:
    """How the head is held before the camera: angles in radians, shift in crop pixels."""

    yaw: float
    pitch: float
    roll: float
    shift: tuple[float, float]
    zoom: float

    def matrix(self) -> np.ndarray:
        """(3, 2): takes (x, y, depth) of the face frame to the crop's axes (weak perspective)."""
        cy, sy, cp, sp = math.cos(self.yaw), math.sin(self.yaw), math.cos(self.pitch), math.sin(self.pitch)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        turned = np.array([[cy, sy * sp], [0.0, cp], [sy, -cy * sp]])
        return self.zoom * turned @ np.array([[cr, sr], [-sr, cr]])


class Canvas:
    """A square RGB image, uint8, of n canvas pixels per crop pixel, that shapes are painted on as a view shows them."""

    def __init__(self, pixels: np.ndarray, view: View) -> None:
        self.pixels = pixels
        self._matrix = view.matrix()
        self._scale = len(pixels) // SIZE  # canvas pixels per crop pixel
        self._offset = np.add(ORIGIN, view.shift)

    def project(self, points: np.ndarray, depth: np.ndarray | float = 0.0) -> np.ndarray:
        """(n, 2) of the face frame, standing out by depth (n,) -> (n, 2) crop pixels."""
        flat, into = self._matrix[:2], self._matrix[2]
        surface = depth - (points * points) @ _FALL
        return points @ flat + surface[:, None] * into + self._offset

    def paint(self, *shapes: Shape) -> None:
        """Paint anti-aliased, in order."""
        lengths = [
            len(shape.points) for shape in shapes
        ]  # projected together: a call to NumPy costs more than its sums
        depth = np.repeat([shape.depth for shape in shapes], lengths)
        corners = self.project(np.concatenate([shape.points for shape in shapes]), depth)
        corners = (corners + 0.5) * self._scale - 0.5  # a pixel's coordinates are those of its middle
        corners = np.rint(corners * (1 << _FRACTION)).astype(np.int32)
        end = 0
        for shape, length in zip(shapes, lengths, strict=True):
            start, end = end, end + length
            color = shape.color.tolist()
            if shape.width:
                width = max(1, round(shape.width * self._scale))
                cv2.polylines(self.pixels, [corners[start:end]], False, color, width, cv2.LINE_AA, _FRACTION)
            else:
                cv2.fillPoly(self.pixels, [corners[start:end]], color, cv2.LINE_AA, _FRACTION)

    def soften(self, width: int) -> None:
        """Blur what is painted so far with a box of width x width canvas pixels, twice."""
        self.pixels = cv2.blur(cv2.blur(self.pixels, (width, width)), (width, width))

    def resize(self, scale: int) -> None:
        """To scale canvas pixels per crop pixel."""
        way = cv2.INTER_LINEAR if scale > self._scale else cv2.INTER_AREA
        self.pixels, self._scale = cv2.resize(self.pixels, (SIZE * scale, SIZE * scale), interpolation=way), scale
