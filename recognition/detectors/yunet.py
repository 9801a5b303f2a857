"""Faces by YuNet (Wu et al., 2023), run by OpenCV: `face_detection_yunet_*.onnx` of OpenCV's model zoo."""

from pathlib import Path

import cv2
import numpy as np

from recognition.face import Face, largest_first, shrink
from utils.errors import UserError


class YuNetDetector:
    """Faces and landmarks by YuNet."""

    name = "yunet"
    warning = None

    def __init__(self, model: Path, threshold: float = 0.7) -> None:
        """threshold: of the score. Raises UserError if OpenCV cannot run `model`."""
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), threshold)
            self._network.detect(np.zeros((320, 320, 3), np.uint8))
        except cv2.error as error:
            why = error.err.strip("> \n").partition("\n")[0]
            raise UserError(f"{model} is not a YuNet model that OpenCV can run: {why}") from None

    def __call__(self, picture: np.ndarray) -> list[Face]:
        small, scale = shrink(picture)
        self._network.setInputSize(small.shape[1::-1])
        _, rows = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        rows = np.empty((0, 15), np.float32) if rows is None else rows
        return largest_first(
            [Face(row[:4] / scale, row[4:14].reshape(5, 2) / scale, float(row[14]), "detector") for row in rows]
        )
