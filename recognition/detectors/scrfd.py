"""Faces by SCRFD (Guo et al., 2021, arXiv:2105.04714), a file of the user's own, such as InsightFace's det_10g.onnx.

At strides 8, 16 and 32 each cell has two anchors; for each there are a score, the distances of the box's four sides and
the places of five landmarks, both from the cell's corner and in strides.
"""

import numpy as np
import onnx

from recognition.detectors.session import DetectorSession
from recognition.face import LONGEST, Face, largest_first, one_each, pad, shrink
from utils.errors import UserError

_STRIDES, _ANCHORS = (8, 16, 32), 2
_MULTIPLE = 32


class ScrfdDetector:
    """Faces and landmarks by SCRFD."""

    name = "scrfd"
    warning = None

    def __init__(self, model: onnx.ModelProto, threshold: float = 0.5, threads: int | None = None) -> None:
        """threshold: of the score. Raises what ONNX Runtime raises if it cannot run the model."""
        self._run = DetectorSession(model, threads)
        self._threshold = threshold

    def __call__(self, picture: np.ndarray) -> list[Face]:
        small, scale = shrink(picture, min(self._run.fixed or (LONGEST,)))
        height, width = self._run.fixed or (-(-side // _MULTIPLE) * _MULTIPLE for side in small.shape[:2])
        # What is outside the picture is black as well after the network's own normalization of pixels.
        outputs = self._run((pad(small, height, width) - 127.5) / 128)
        if len(outputs) != 9 or any(rows.shape[-1] != columns for rows, columns in zip(outputs, _COLUMNS, strict=True)):
            raise UserError("the detector's outputs are not SCRFD's scores, boxes and five landmarks at three strides")
        faces = decode(outputs, width, self._threshold)
        return largest_first([face.scaled(1 / scale) for face in one_each(faces)])


_COLUMNS = [1] * 3 + [4] * 3 + [10] * 3


def decode(outputs: list[np.ndarray], width: int, threshold: float) -> list[Face]:
    """The faces, several for one face, of three scores (n, 1), three boxes (n, 4) and three landmarks (n, 10).

    width: of the network's input, in pixels. A batch axis in front does not matter.
    """
    faces = []
    for level, stride in enumerate(_STRIDES):
        scores, sides, points = (outputs[level + 3 * kind].reshape(-1, _COLUMNS[3 * kind]) for kind in range(3))
        chosen = np.flatnonzero(scores[:, 0] >= threshold)
        rows, columns = np.divmod(chosen // _ANCHORS, width // stride)
        cells = np.stack([columns, rows], axis=1) * np.float32(stride)
        begin, end = cells - sides[chosen, :2] * stride, cells + sides[chosen, 2:] * stride
        boxes = np.concatenate([begin, end - begin], axis=1)
        landmarks = cells[:, None] + points[chosen].reshape(-1, 5, 2) * stride
        faces += [
            Face(box.astype(np.float32), marks.astype(np.float32), float(scores[number, 0]), "detector")
            for box, marks, number in zip(boxes, landmarks, chosen, strict=True)
        ]
    return faces
