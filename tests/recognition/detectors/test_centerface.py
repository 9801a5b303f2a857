"""CenterFace with its real weights on real photographs, and its decoding against a plain loop."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from evaluation.sources import read_image
from recognition.detectors.centerface import decode
from recognition.detectors.choose import load_detector
from tests.recognition.faces import ASTRONAUT, FRIENDS, GRAY

HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
NOSES = {(890, 135), (515, 333), (783, 412), (1172, 335), (95, 325), (340, 210)}


@pytest.fixture(scope="module")
def detect():
    return load_detector()


def test_six_people_and_no_fist(detect):
    faces = detect(read_image(FRIENDS))
    assert len(faces) == 6 and all(face.score > 0.8 and face.landmarks_from == "detector" for face in faces)
    areas = [face.box[2] * face.box[3] for face in faces]
    assert areas == sorted(areas, reverse=True)
    for x, y in NOSES:
        assert sum(np.hypot(*(face.landmarks[2] - (x, y))) < 45 for face in faces) == 1, (x, y)


def test_an_astronaut(detect):
    """Landmarks read off the photograph by eye; the smile too, which the cascade misses."""
    (face,) = detect(read_image(ASTRONAUT))
    marked = np.array([[203, 101], [246, 103], [223, 127], [204, 140], [245, 141]])
    assert (np.hypot(*(face.landmarks - marked).T) < 8).all()
    left, top, width, height = face.box
    assert (marked > (left, top)).all() and (marked < (left + width, top + height)).all()


@pytest.mark.parametrize("name", ["coffee", "coins", "chelsea", "page", "brick", "clock_motion"])
def test_nobody_on_photographs_of_things(detect, name):
    assert detect(read_image(ASTRONAUT.with_name(f"{name}.png"))) == []


@pytest.mark.parametrize("size", [(300, 400), (10, 10), (1, 3000)])
def test_nobody_there(detect, size):
    assert detect(np.full((*size, 3), GRAY, np.uint8)) == []


@pytest.mark.parametrize("angle", [-30, 15, 30])
def test_landmarks_follow_a_turned_picture(detect, angle):
    picture = read_image(ASTRONAUT)
    (upright,) = detect(picture)
    turn = cv2.getRotationMatrix2D((224.0, 120.0), angle, 1.0)
    turned = detect(cv2.warpAffine(picture, turn, (512, 512)))
    assert len(turned) == 1
    np.testing.assert_allclose(turned[0].landmarks, upright.landmarks @ turn[:, :2].T + turn[:, 2], atol=9)


@pytest.mark.parametrize("side", [96, 320, 640, 1280, 2400])
def test_a_face_that_fills_the_picture_is_one_whatever_its_size(detect, side):
    """At full size a network of small fields of view sees an eye or a mouth as a face."""
    for photograph, (top, left, edge) in ((HOPPER, (80, 130, 280)), (ASTRONAUT, (40, 150, 150))):
        close = read_image(photograph)[top : top + edge, left : left + edge]
        (face,) = detect(cv2.resize(close, (side, side), interpolation=cv2.INTER_LINEAR))
        assert face.score > 0.8 and 0.5 < face.box[2] / side < 0.75 and 0.6 < face.box[3] / side < 0.9
        assert (face.box[:2] > 0).all() and (face.box[:2] + face.box[2:] < side * 1.02).all()


def test_small_faces_and_the_threshold(detect):
    small = cv2.resize(read_image(FRIENDS), (320, 222), interpolation=cv2.INTER_AREA)
    assert len(detect(small)) == 6, "of 26 pixels"
    scores = sorted(face.score for face in detect(small))
    assert len(load_detector(threshold=(scores[2] + scores[3]) / 2)(small)) == 3


def test_decoding_is_the_papers():
    rng = np.random.default_rng(0)
    heat, scale, offset, marks = (rng.normal(size=(1, planes, 5, 7)).astype(np.float32) for planes in (1, 2, 2, 10))
    by_score = {face.score: face for face in decode(heat, scale, offset, marks, 0.5)}
    cells = [(y, x) for y in range(5) for x in range(7) if heat[0, 0, y, x] >= 0.5]
    assert len(by_score) == len(cells) > 5
    for y, x in cells:
        face = by_score[float(heat[0, 0, y, x])]
        high, wide = (4 * np.exp(float(scale[0, axis, y, x])) for axis in (0, 1))
        top = 4 * (y + 0.5 + float(offset[0, 0, y, x])) - high / 2
        left = 4 * (x + 0.5 + float(offset[0, 1, y, x])) - wide / 2
        np.testing.assert_allclose(face.box, [left, top, wide, high], rtol=1e-4, atol=1e-4)
        for number in range(5):
            down, right = (float(marks[0, 2 * number + axis, y, x]) for axis in (0, 1))
            wanted = left + right * wide, top + down * high
            np.testing.assert_allclose(face.landmarks[number], wanted, rtol=1e-4, atol=1e-4)
