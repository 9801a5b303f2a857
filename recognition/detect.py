"""Faces in pictures, each with the five landmarks that alignment wants, by the detectors OpenCV runs.

- `YuNetDetector` (Wu et al., 2023) finds landmarks itself. Its model, `face_detection_yunet_*.onnx`, is a file of
  OpenCV's model zoo, which OpenCV's wheel does not hold.
- `CascadeDetector` needs no file: Haar cascades (Viola and Jones, 2001) for faces and eyes come with OpenCV. It finds
  upright faces seen from the front and now and then something else. Where both eyes are found, they say where the
  other landmarks are in an average face; else the box does.

A detector is called with a picture (H, W, 3) uint8 RGB and returns its faces, the largest first.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from evaluation.align import REFERENCE
from utils.errors import UserError

LONGEST = 1280  # pictures are searched at this many pixels a side at most, for speed and as YuNet was trained on


@dataclass(frozen=True)
class Face:
    """Where a face is; all in pixels of the picture."""

    box: np.ndarray  # (4,) float32: left, top, width, height; parts may be outside
    landmarks: np.ndarray  # (5, 2) float32 x and y, in REFERENCE's order
    score: float | None  # of the detector, in [0, 1]; None where it has none
    landmarks_from: str  # "detector", "eyes" or "box"


class YuNetDetector:
    """Faces and landmarks by YuNet."""

    name = "yunet"

    def __init__(self, model: Path, threshold: float = 0.7) -> None:
        """threshold: of the score. Raises UserError where `model` is missing or OpenCV cannot run it."""
        if not model.is_file():
            raise UserError(f"there is no detector at {model}; leave --detector out to take OpenCV's own cascades")
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), threshold)
            self._network.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            why = error.err.strip("> \n").partition("\n")[0]
            raise UserError(f"{model} is not a YuNet model that OpenCV can run: {why}") from None

    def __call__(self, picture: np.ndarray) -> list[Face]:
        small, scale = _shrink(picture)
        self._network.setInputSize(small.shape[1::-1])
        _, rows = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = np.empty((0, 15), np.float32) if rows is None else rows
        return _largest_first(
            [Face(row[:4] / scale, row[4:14].reshape(5, 2) / scale, float(row[14]), "detector") for row in rows]
        )


class CascadeDetector:
    """Faces by OpenCV's Haar cascades, landmarks from the eyes they find, or from the box alone."""

    name = "cascade"

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
        small, scale = _shrink(picture)
        gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        boxes = self._faces.detectMultiScale(gray, 1.1, 4, minSize=(self._SMALLEST, self._SMALLEST))
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
        return _largest_first(faces)

    def _find_eyes(self, gray: np.ndarray, left: int, top: int, width: int, height: int) -> np.ndarray | None:
        """The left and the right eye in the picture's pixels, (2, 2), or None unless there are two that look right."""
        scale = self._WIDTH / width
        upper = gray[top : top + int(0.6 * height), left : left + width]
        upper = cv2.resize(upper, (self._WIDTH, round(upper.shape[0] * scale)), interpolation=cv2.INTER_LINEAR)
        least, most = (int(part * self._WIDTH) for part in self._EYE)
        found = self._eyes.detectMultiScale(upper, 1.05, 3, minSize=(least, least), maxSize=(most, most))
        eyes = []
        for first in (0, self._WIDTH / 2):
            side = [eye for eye in found if first <= eye[0] + eye[2] / 2 < first + self._WIDTH / 2]
            if not side:
                return None
            x, y, w, h = max(side, key=lambda eye: eye[2])
            eyes.append((x + w / 2, y + h / 2))
        across, down = np.subtract(eyes[1], eyes[0])
        if not self._APART[0] <= across / self._WIDTH <= self._APART[1] or abs(down) > self._LEVEL * across:
            return None
        return np.array(eyes) / scale + (left, top)


def load_detector(model: Path | None) -> YuNetDetector | CascadeDetector:
    """YuNet where there is a model of it, else OpenCV's cascades. Raises UserError where the model does not load."""
    return YuNetDetector(model) if model else CascadeDetector()


def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(cv2.data.haarcascades + name)


def _from_eyes(eyes: np.ndarray) -> np.ndarray:
    """REFERENCE (5, 2) turned, scaled and shifted so that its eyes are at `eyes` (2, 2)."""
    reference, (left, right) = REFERENCE @ (1, 1j), eyes @ (1, 1j)
    points = left + (reference - reference[0]) * (right - left) / (reference[1] - reference[0])
    return np.stack([points.real, points.imag], axis=1)


def _shrink(picture: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture with no side above LONGEST, and its scale."""
    scale = min(1.0, LONGEST / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def _largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -float(face.box[2] * face.box[3]))
