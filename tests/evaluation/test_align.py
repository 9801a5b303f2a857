"""Alignment against scikit-image's transform and the insightface package's crops."""

import cv2
import numpy as np
import pytest
from insightface.utils import face_align
from skimage.transform import SimilarityTransform

from deploy.images import drawn_faces
from evaluation.align import REFERENCE, align, similarity
from utils.errors import UserError
from utils.pixels import ImageShape, fitted


def moved(seed: int, noise: float) -> np.ndarray:
    """The template scaled, turned, shifted and disturbed, (5, 2)."""
    rng = np.random.default_rng(seed)
    angle, scale = rng.uniform(-np.pi, np.pi), np.exp(rng.uniform(-2, 2))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return REFERENCE @ turn.T + rng.uniform(-200, 800, 2) + rng.normal(0, noise, (5, 2))


def estimate(landmarks: np.ndarray) -> np.ndarray:
    """By scikit-image, which computes in the precision it is given."""
    transform = SimilarityTransform()
    assert transform.estimate(landmarks.astype(np.float64), REFERENCE.astype(np.float64))
    return transform.params[:2]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("noise", [0, 1, 20])
def test_the_transform_is_scikit_images(seed, noise):
    landmarks = moved(seed, noise)
    np.testing.assert_allclose(similarity(landmarks), estimate(landmarks), rtol=1e-9, atol=1e-9)


def test_a_mirrored_face_is_not_mirrored_back():
    landmarks = REFERENCE * (-1, 1)
    transform = similarity(landmarks)
    assert np.linalg.det(transform[:, :2]) > 0
    np.testing.assert_allclose(transform, estimate(landmarks), rtol=1e-9, atol=1e-9)


def test_crops_are_those_of_the_insightface_package():
    face = drawn_faces(1)[0]
    picture = cv2.copyMakeBorder(cv2.resize(face, None, fx=2.3, fy=2.3), 60, 30, 90, 40, cv2.BORDER_REFLECT)
    for seed in range(4):
        landmarks = (REFERENCE * 2.3 + (90, 60) + np.random.default_rng(seed).normal(0, 3, (5, 2))).astype(np.float32)
        aligned, wanted = align(picture, landmarks), face_align.norm_crop(picture, landmarks, 112)
        # The package computes the transform in float32; a pixel in some thousands then rounds the other way.
        difference = np.abs(aligned.astype(int) - wanted)
        assert difference.max() <= 2 and difference.mean() < 1e-3


def test_a_face_in_its_place_stays_and_outside_is_black():
    face = drawn_faces(1)[0]
    np.testing.assert_array_equal(align(face, REFERENCE), face)
    shifted = align(face, REFERENCE + 20)
    np.testing.assert_array_equal(shifted[:92, :92], face[20:, 20:])
    assert not shifted[92:].any() and not shifted[:, 92:].any()


@pytest.mark.parametrize("size", [(112, 96), (112, 128), (224, 224), (160, 128), (96, 112)])
def test_another_size_shows_what_112_pixels_scaled_would(size):
    """A smooth picture, so that where the pixels were taken from is all that differs."""
    rng = np.random.default_rng(1)
    picture = cv2.resize(rng.integers(0, 256, (7, 7, 3), np.uint8), (400, 400), interpolation=cv2.INTER_CUBIC)
    landmarks = REFERENCE @ np.array([[1.4, 0.3], [-0.3, 1.4]]) + (90, 110)
    aligned, usual = align(picture, landmarks, size), align(picture, landmarks)
    assert aligned.shape == (*size, 3) and aligned.dtype == np.uint8
    difference = np.abs(aligned.astype(int) - fitted(usual, ImageShape(*size)))
    sides = max(0, (size[1] - size[0]) // 2 + 2)  # `fitted` has no pixels there, and repeats its edge
    assert difference[2:-2, sides : size[1] - sides].max() <= 1


def test_twice_the_size_is_the_packages_but_for_half_a_pixel():
    """InsightFace doubles the numbers of its template for 224 pixels; here a pixel's middle goes to its middle."""
    rng = np.random.default_rng(2)
    picture = cv2.resize(rng.integers(0, 256, (9, 9, 3), np.uint8), (400, 400), interpolation=cv2.INTER_CUBIC)
    aligned = align(picture, REFERENCE * 2 + 60, (224, 224))
    wanted = face_align.norm_crop(picture, (REFERENCE * 2 + 60 - 0.5).astype(np.float32), 224)
    assert np.abs(aligned.astype(int) - wanted)[1:-1, 1:-1].mean() < 0.1


@pytest.mark.parametrize(
    "landmarks",
    [
        np.full((5, 2), 7.0),
        np.zeros((5, 2)),
        np.full((5, 2), 1e6) + np.arange(10).reshape(5, 2) * 1e-3,
        np.where(np.arange(10).reshape(5, 2) == 3, np.nan, REFERENCE),
        np.where(np.arange(10).reshape(5, 2) == 0, np.inf, REFERENCE),
        np.full((5, 2), 1e200) * REFERENCE,
    ],
)
def test_landmarks_that_are_no_face_are_refused(landmarks):
    with pytest.raises(UserError, match="its landmarks are not"):
        align(drawn_faces(1)[0], landmarks)


def test_another_number_of_points_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        similarity(REFERENCE[:4])
