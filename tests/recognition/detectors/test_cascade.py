"""The cascades on real photographs, which installed packages hold, on drawn faces, and on what is not a face."""

import cv2
import numpy as np
import pytest

from evaluation.align import REFERENCE, align
from evaluation.sources import read_image
from recognition.detectors.cascade import CascadeDetector
from tests.recognition.faces import ASTRONAUT, FRIENDS, GRAY, crop, scene


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
    (enlarged,) = cascade(large)
    np.testing.assert_allclose(enlarged.landmarks, 4 * small.landmarks, atol=20)
    np.testing.assert_allclose(enlarged.box, 4 * small.box, atol=60)


@pytest.mark.parametrize("size", [(300, 400), (10, 10), (1, 3000)])
def test_nobody_there(cascade, size):
    assert cascade(np.full((*size, 3), GRAY, np.uint8)) == []
