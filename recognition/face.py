"""A face in a picture, and what all detectors share: the size they search at, and one box for each face."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

LONGEST = 1280  # pictures are searched at this many pixels a side at most, for speed and as detectors are trained on
_OVERLAP = 0.5  # of the smaller of two boxes, above which both are of one face


@dataclass(frozen=True)
class Face:
    """Where a face is; all in pixels of the picture."""

    box: np.ndarray  # (4,) float32: left, top, width, height; parts may be outside
    landmarks: np.ndarray  # (5, 2) float32 x and y, in evaluation.align.REFERENCE's order
    score: float | None  # of the detector, in [0, 1]; None if it has none
    landmarks_from: str  # "detector", "eyes" or "box"

    def scaled(self, factor: float) -> "Face":
        """The face in a picture whose sides are `factor` times as long."""
        return Face(self.box * np.float32(factor), self.landmarks * np.float32(factor), self.score, self.landmarks_from)


# A picture (H, W, 3) uint8 RGB -> its faces, the largest first.
Detect = Callable[[np.ndarray], list[Face]]


def shrink(picture: np.ndarray, longest: int = LONGEST) -> tuple[np.ndarray, float]:
    """The picture with no side above `longest`, and its scale."""
    scale = min(1.0, longest / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale


def pad(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture in the upper left corner of a black one, as a network's input (1, 3, height, width) float32."""
    pixels = np.zeros((1, 3, height, width), np.float32)
    pixels[0, :, : picture.shape[0], : picture.shape[1]] = picture.transpose(2, 0, 1)
    return pixels


def one_each(faces: list[Face]) -> list[Face]:
    """Without those that share more than half of the smaller box with one of a higher score.

    A face without a score counts as of the lowest. Unlike intersection over union this also drops a part of a face,
    taken for a small face inside it.
    """
    if not faces:
        return []
    faces = sorted(faces, key=lambda face: -(face.score or 0.0))
    boxes = np.array([face.box for face in faces], np.float64)
    begin, end = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    areas = boxes[:, 2:].prod(axis=1)
    kept: list[int] = []
    for number in range(len(faces)):
        sides = np.minimum(end[kept], end[number]) - np.maximum(begin[kept], begin[number])
        shared = sides.clip(min=0).prod(axis=1)
        if not (shared > _OVERLAP * np.minimum(areas[kept], areas[number])).any():
            kept.append(number)
    return [faces[number] for number in kept]


def largest_first(faces: list[Face]) -> list[Face]:
    return sorted(faces, key=lambda face: -float(face.box[2] * face.box[3]))
