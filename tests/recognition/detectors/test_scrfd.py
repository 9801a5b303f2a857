"""SCRFD's decoding, on a network with its outputs, which ONNX Runtime runs."""

import cv2
import numpy as np
import pytest

from recognition.detectors.choose import load_detector
from recognition.detectors.scrfd import ScrfdDetector
from tests.recognition.scrfd import LANDMARKS, SIDES, write_scrfd


@pytest.mark.parametrize(("side", "times"), [(None, 1), (None, 3), (640, 2)])
def test_where_faces_are(tmp_path, side, times):
    """Whatever the model takes, answers are in the picture's pixels."""
    detect = load_detector(str(write_scrfd(tmp_path / "scrfd.onnx", side=side)))
    assert isinstance(detect, ScrfdDetector)
    picture = np.zeros((500, side or 1280, 3), np.uint8)
    picture[64:96, 128:160] = 255
    picture[320:352, 320:352] = 240
    faces = detect(cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST))
    assert len(faces) == 2
    order = sorted(faces, key=lambda face: -face.score)
    for face, corner, light in zip(order, ((128, 64), (320, 320)), (255, 240), strict=True):
        corner = np.array(corner, np.float64)
        box = [*(corner - 32 * SIDES[:2]), *(32 * (SIDES[:2] + SIDES[2:]))]
        np.testing.assert_allclose(face.box, times * np.array(box), rtol=1e-5)
        np.testing.assert_allclose(face.landmarks, times * (corner + 32 * LANDMARKS), rtol=1e-5)
        assert face.score == pytest.approx(light / 255, abs=1e-5) and face.landmarks_from == "detector"
