"""Images in the shape that a network takes."""

import cv2
import numpy as np
import pytest

from utils.pixels import USUAL_SHAPE, ImageShape, all_fitted, fitted

FACE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8), (9, 9), 3)


def test_an_image_of_that_shape_is_left_as_it_is():
    assert fitted(FACE, USUAL_SHAPE) is FACE
    batch = FACE[None]
    assert all_fitted(batch, USUAL_SHAPE) is batch


def test_a_narrower_network_sees_the_middle():
    np.testing.assert_array_equal(fitted(FACE, ImageShape(112, 96)), FACE[:, 8:104])


def test_a_wider_network_sees_repeated_edges():
    wide = fitted(FACE, ImageShape(112, 128))
    np.testing.assert_array_equal(wide[:, 8:120], FACE)
    np.testing.assert_array_equal(wide[:, :8], np.repeat(FACE[:, :1], 8, axis=1))


@pytest.mark.parametrize("side", [64, 128, 160, 224])
def test_squares_are_scaled(side):
    kind = cv2.INTER_AREA if side < 112 else cv2.INTER_LINEAR
    expected = cv2.resize(FACE, (side, side), interpolation=kind)
    np.testing.assert_array_equal(fitted(FACE, ImageShape(side, side)), expected)


def test_gray_is_the_luma_of_the_colors():
    gray = fitted(FACE, ImageShape(96, 80, 1))
    assert gray.shape == (96, 80, 1)
    colors = fitted(FACE, ImageShape(96, 80)).astype(np.float64) @ [0.299, 0.587, 0.114]
    assert np.abs(gray[..., 0] - colors).max() <= 1


def test_many_images():
    shape = ImageShape(96, 112, 1)
    assert all_fitted(np.stack([FACE, FACE[::-1]]), shape).shape == (2, 96, 112, 1)
    assert all_fitted(np.empty((0, 112, 112, 3), np.uint8), shape).shape == (0, 96, 112, 1)
