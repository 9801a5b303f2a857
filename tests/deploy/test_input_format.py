"""The grammar of what a network takes: what it says is computed, and what it cannot say is refused."""

import numpy as np
import pytest

from deploy.input_format import OWN, InputFormat, own_format, parse_input
from utils.errors import UserError
from utils.pixels import ImageShape

pytestmark = pytest.mark.fast
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
MEAN = np.array([103.9, 116.8, 123.7])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", lambda x: ((x / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2)),
        ("RGB, 112x112, (x / 255 - 0.5) / 0.5, NCHW float32", lambda x: (x / 127.5 - 1).transpose(0, 3, 1, 2)),
        ("NHWC, BGR, (x - 127.5) / 128", lambda x: (x[..., ::-1] - 127.5) / 128),
        ("NHWC, x", lambda x: x),
        ("BGR, x / 255", lambda x: x[..., ::-1].transpose(0, 3, 1, 2) / 255),
        ("NHWC, 1 - 2 * (x / 255)", lambda x: 1 - 2 * x / 255),
        ("NHWC BGR, (x - [103.9, 116.8, 123.7]) / (57, 58, 59)", lambda x: (x[..., ::-1] - MEAN) / [57, 58, 59]),
        ("NHWC, -x * 0.5 + 3", lambda x: 3 - x / 2),
    ],
)
def test_pixels_are_what_it_says(text, wanted):
    stated = parse_input(text)
    pixels = stated.apply(IMAGES)
    assert pixels.dtype == np.float32 and pixels.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(pixels, wanted(IMAGES.astype(np.float64)), rtol=1e-5, atol=1e-5)
    assert parse_input(str(stated)) == stated


def test_what_is_left_out_is_the_defaults():
    other = InputFormat("BGR", "NHWC", "x / 255")
    assert parse_input("RGB", other) == InputFormat("RGB", "NHWC", "x / 255")
    assert parse_input("(x - 127.5) / 127.5").is_pixels(OWN) and not other.is_pixels(OWN)


@pytest.mark.parametrize(
    "text",
    [
        *["CHW", "x * x", "1 / x", "x / 0", "0 * x", "5", "__import__('os')", "x.real", "(x - [1, 2]) / 3", "x - 'a'"],
        *["x +", "x ** 2", "(" * 150 + "x" + ")" * 150, "x - nan", "x - 1e999", "x / [1, 0, 1]", "True", "lambda: x"],
    ],
)
def test_what_is_not_linear_is_refused(text):
    with pytest.raises(UserError, match="neither a color"):
        parse_input(text)


def test_other_shapes_are_height_by_width_and_channels():
    gray = parse_input("gray, 96x80, NHWC")
    assert gray.shape == ImageShape(96, 80, 1) and parse_input(str(gray)) == gray
    assert gray.apply(IMAGES).shape == (len(IMAGES), 96, 80, 1)
    assert own_format(ImageShape(96, 80, 1)) == parse_input("gray, 96x80")


def test_contradictions_are_refused():
    with pytest.raises(UserError, match="says RGB and BGR"):
        parse_input("RGB, BGR")
    with pytest.raises(UserError, match=r"says 112x112 and 160x160"):
        parse_input("112x112, 160x160")
