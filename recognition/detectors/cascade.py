"""Faces by the Haar cascades (Viola and Jones, 2001) that come with OpenCV: a last resort that needs no model.

They find upright faces seen from the front and now and then something else. If both eyes are found, they say where the
other landmarks are in an average face; else the box does.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from cv2.data import haarcascades

from evaluation.align import REFERENCE
from recognition.face import Face, largest_first, shrink


class CascadeDetector:
    """Faces by OpenCV's Haar cascades, landmarks from the eyes they find, or from the box alone."""

    name = "cascade"
    warning = (
        "OpenCV's cascades miss turned heads and now and then take a fist for a face; leave --detector out for the "
        "neural detector"
    )

    _SMALLEST = 24  # side of a face in pixels; the cascade's window is 20
    _WIDTH = 160  # to which a face is scaled before its eyes are looked for
    _EYE = (0.15, 0.45)  # width of an eye's box, in widths of the face's
    _APART = (0.25, 0.60)  # distance of the eyes, likewise
    _LEVEL = 0.5  # most that one eye is above the other, in their distances: 27 degrees
    # The face's box is a square in which the aligned crop's pixel is this wide, and whose corner is here in it: means
    # over drawn faces, on which they are off by 3 to 5 % of the box, and right on photographs too.
    _PIXEL, _CORNER = 0.01166, np.array([13.8, 19.8], np.float32)

    def __init__(self) -> None:
        self._faces = _cascade("haarcascade_frontalface_alt2.xml")
        self._eyes = _cascade("haarcascade_eye.xml")

    def __call__(self, picture: np.ndarray) -> list[Face]:
        small, scale = shrink(picture)
        gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        boxes = _boxes(self._faces.detectMultiScale(gray, 1.1, 4, minSize=(self._SMALLEST, self._SMALLEST)))
        faces = []
        for box in boxes:
            eyes = self._find_eyes(gray, *box.tolist())
            if eyes is None:
                landmarks = box[:2] + (REFERENCE - self._CORNER) * self._PIXEL * box[2]
            else:
                landmarks = _from_eyes(eyes)
            landmarks_from = "box" if eyes is None else "eyes"
            faces.append(
                Face(box.astype(np.float32) / scale, landmarks.astype(np.float32) / scale, None, landmarks_from)
            )
        return largest_first(faces)

    def _find_eyes(self, gray: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray | None:
        """The left and the right eye in the picture's pixels, (2, 2), or None unless there are two that look right."""
        scale = self._WIDTH / width
        upper = gray[top : top + int(0.6 * height), left : left + width]
        upper = cv2.resize(upper, (self._WIDTH, round(upper.shape[0] * scale)), interpolation=cv2.INTER_LINEAR)
        least, most = (int(part * self._WIDTH) for part in self._EYE)
        boxes = _boxes(self._eyes.detectMultiScale(upper, 1.05, 3, minSize=(least, least), maxSize=(most, most)))
        eyes = []
        for first in (0, self._WIDTH / 2):
            side = [eye for eye in boxes if first <= eye[0] + eye[2] / 2 < first + self._WIDTH / 2]
            if not side:
                return None
            x, y, w, h = max(side, key=lambda eye: eye[2])
            eyes.append((x + w / 2, y + h / 2))
        across, down = np.subtract(eyes[1], eyes[0])
        if not self._APART[0] <= across / self._WIDTH <= self._APART[1] or abs(down) > self._LEVEL * across:
            return None
        return np.array(eyes) / scale + (left, top)


def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(haarcascades + name)


def _boxes(detected: Sequence[Sequence[int]]) -> np.ndarray:
    """(N, 4) left, top, width, height, of what OpenCV returns: an array, or an empty tuple."""
    return np.asarray(detected, np.int32).reshape(-1, 4)


def _from_eyes(eyes: np.ndarray) -> np.ndarray:
    """REFERENCE (5, 2) turned, scaled and shifted so that its eyes are at `eyes` (2, 2)."""
    reference, (left, right) = REFERENCE @ (1, 1j), eyes @ (1, 1j)
    points = left + (reference - reference[0]) * (right - left) / (reference[1] - reference[0])
    return np.stack([points.real, points.imag], axis=1)
