"""Bytes become the numbers that the formula says, in eager mode, in a compiled step, and on the host."""

import numpy as np
import oneflow as flow
import pytest

from backbones.pixels import Pixels
from tests.own_process import run_tests
from utils.pixels import normalized


def expected(images, mirrored):
    turned = np.where(mirrored[:, None, None, None] > 0, images[:, :, ::-1], images)
    return (turned.astype(np.float64).transpose(0, 3, 1, 2) - 127.5) / 127.5


@pytest.mark.parametrize(("height", "width", "channels"), [(112, 112, 3), (96, 112, 3), (5, 7, 1)])
def test_pixels_are_mirrored_turned_and_normalized(height, width, channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, height, width, channels), np.uint8)
    mirrored = np.array([0, 1, 1, 0, 1, 0], np.int8)
    pixels = Pixels(channels)
    got = pixels(flow.tensor(images), flow.tensor(mirrored))
    assert got.dtype == flow.float32
    np.testing.assert_allclose(got.numpy(), expected(images, mirrored), atol=1e-7)
    plain = expected(images, np.zeros(6))
    np.testing.assert_allclose(pixels(flow.tensor(images)).numpy(), plain, atol=1e-7)
    np.testing.assert_allclose(normalized(images), plain, atol=1e-7)


def test_pixels_with_channels_last():
    images = np.random.default_rng(2).integers(0, 256, (2, 5, 7, 3), np.uint8)
    mirrored = np.array([0, 1], np.int8)
    got = Pixels(data_format="NHWC")(flow.tensor(images), flow.tensor(mirrored)).numpy()
    np.testing.assert_allclose(got.transpose(0, 3, 1, 2), expected(images, mirrored), atol=1e-7)


def test_pixels_in_a_compiled_step():
    run_tests("tests/backbones/pixels_step.py")
