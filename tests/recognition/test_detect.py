"""Detectors on real photographs, which installed packages hold, on drawn faces, and on what is not a face."""

import cv2
import numpy as np
import pytest

from evaluation.align import REFERENCE, align
from evaluation.sources import read_image
from recognition.detect import CascadeDetector, YuNetDetector, load_detector
from tests.recognition.faces import ASTRONAUT, FRIENDS, GRAY, crop, scene
from tests.recognition.yunet import CENTER, LANDMARKS, SIDE, write_yunet
from utils.errors import UserError


@pytest.fixture(scope="module")
def cascade():
    return CascadeDetector()


def test_an_astronaut(cascade):
    """Landmarks read off the photograph by eye: eyes, tip of the nose, corners of the mouth."""
    (face,) = cascade(read_image(ASTRONAUT))
    assert face.landmarks_from == "eyes" and face.score is None
    marked = np.array([[203, 101], [246, 103], [223, 127], [204, 140], [245, 141]])
    away = np.hypot(*(face.landmarks - marked).T)
    assert (away[:2] < 3).all() and away[2] < 5
    assert (away[3:] < 18).all(), "a smile, which the eyes do not tell"
    left, top, width, height = face.box
    assert (marked > (left, top)).all() and (marked < (left + width, top + height)).all()


def test_many_faces_largest_first(cascade):
    faces = cascade(read_image(FRIENDS))
    areas = [face.box[2] * face.box[3] for face in faces]
    assert len(faces) >= 4 and areas == sorted(areas, reverse=True)
    for x, y in ((512, 330), (780, 410), (1170, 335), (930, 130)):  # noses of four of the six people
        assert any(np.hypot(*(face.landmarks[2] - (x, y))) < 25 for face in faces)


def test_drawn_faces_are_cut_as_they_were_drawn(cascade):
    """The crops of a detected face's landmarks are the crops it was pasted from, but for a few pixels."""
    errors, found_by = [], []
    for person in range(24):
        side, gap = 200, 100
        picture = scene([crop(person, 0)], side, gap)
        drawn = REFERENCE * (side / 112) + gap
        for face in cascade(picture)[:1]:
            errors.append(np.abs(face.landmarks - drawn).max() * 112 / side)
            found_by.append(face.landmarks_from)
            assert align(picture, face.landmarks).shape == (112, 112, 3)
    assert len(errors) >= 16 and set(found_by) == {"eyes", "box"}
    assert np.median(errors) < 8


def test_landmarks_follow_a_turned_head(cascade):
    picture = read_image(ASTRONAUT)
    (upright,) = cascade(picture)
    turn = cv2.getRotationMatrix2D((224.0, 120.0), 12, 1.0)
    (turned,) = cascade(cv2.warpAffine(picture, turn, (512, 512)))
    np.testing.assert_allclose(turned.landmarks, upright.landmarks @ turn[:, :2].T + turn[:, 2], atol=6)


def test_large_pictures_are_searched_small_and_answered_large(cascade):
    picture = read_image(ASTRONAUT)
    (small,) = cascade(picture)
    large = cv2.resize(picture, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (found,) = cascade(large)
    np.testing.assert_allclose(found.landmarks, 4 * small.landmarks, atol=20)
    np.testing.assert_allclose(found.box, 4 * small.box, atol=60)


@pytest.mark.parametrize("size", [(300, 400), (10, 10), (1, 3000)])
def test_nobody_there(cascade, size):
    assert cascade(np.full((*size, 3), GRAY, np.uint8)) == []


@pytest.fixture(scope="module")
def yunet(tmp_path_factory):
    return write_yunet(tmp_path_factory.mktemp("yunet") / "squares.onnx")


@pytest.mark.parametrize("times", [1, 3])
def test_yunet_says_where_landmarks_are(yunet, times):
    """On a network that finds white squares; pictures beyond 1280 pixels are shrunk, answers are in theirs."""
    picture = np.zeros((500, 1280, 3), np.uint8)
    picture[64:96, 128:160] = 255
    picture[320:352, 320:352] = 240
    detect = load_detector(yunet)
    assert isinstance(detect, YuNetDetector)
    found = detect(cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST))
    assert [face.landmarks_from for face in found] == ["detector"] * 2
    for face, (x, y), light in zip(sorted(found, key=lambda face: face.box[0]), ((128, 64), (320, 320)), (255, 240)):  # noqa: B905
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
        load_detector(tmp_path / "missing.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"bad\.onnx is not a YuNet model"):
        load_detector(tmp_path / "bad.onnx")
