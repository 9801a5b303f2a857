"""YuNet, run by OpenCV, on a network with its outputs."""

import cv2
import numpy as np
import pytest

from recognition.detectors.choose import load_detector
from recognition.detectors.yunet import YuNetDetector
from tests.recognition.yunet import CENTER, LANDMARKS, SIDE, write_yunet
from utils.errors import UserError


@pytest.fixture(scope="module")
def yunet(tmp_path_factory):
    return write_yunet(tmp_path_factory.mktemp("yunet") / "squares.onnx")


@pytest.mark.parametrize("times", [1, 3])
def test_yunet_says_where_landmarks_are(yunet, times):
    """On a network that finds white squares; pictures beyond 1280 pixels are shrunk, answers are in theirs."""
    picture = np.zeros((500, 1280, 3), np.uint8)
    picture[64:96, 128:160] = 255
    picture[320:352, 320:352] = 240
    detect = load_detector(str(yunet))
    assert isinstance(detect, YuNetDetector)
    faces = detect(cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST))
    assert [face.landmarks_from for face in faces] == ["detector"] * 2
    for face, (x, y), light in zip(sorted(faces, key=lambda face: face.box[0]), ((128, 64), (320, 320)), (255, 240)):  # noqa: B905
        corner = np.array([x, y])
        middle = corner + np.multiply(32, CENTER)
        np.testing.assert_allclose(face.box, times * np.array([*(middle - 16 * SIDE), 32 * SIDE, 32 * SIDE]), rtol=1e-5)
        np.testing.assert_allclose(face.landmarks, times * (corner + 32 * LANDMARKS), rtol=1e-5)
        assert face.score == pytest.approx(light / 255, abs=1e-5)


def test_yunet_finds_nothing_and_takes_any_size(yunet):
    detect = YuNetDetector(yunet)
    for size in ((33, 57), (700, 31), (5, 5)):
        assert detect(np.zeros((*size, 3), np.uint8)) == []


def test_yunet_models_that_do_not_load(tmp_path):
    with pytest.raises(UserError, match=r"there is no detector at .*missing\.onnx"):
        load_detector(str(tmp_path / "missing.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"bad\.onnx is not a detector that can be run"):
        load_detector(str(tmp_path / "bad.onnx"))
