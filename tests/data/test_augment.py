"""Augmentation: each operation by its definition, and how strong it is."""

import io
import math

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import correlate1d

from data.augment import OPERATIONS, choices, operations
from utils.config.schema import AUGMENTATIONS

LUMA = np.array([0.299, 0.587, 0.114])


def rounded(values):
    return np.clip(np.rint(values), 0, 255)


def assert_near(result, expected, most=1):
    assert result.dtype == np.uint8 and result.shape == expected.shape
    assert np.abs(result.astype(float) - expected).max() <= most


# --- the operations ---


def test_every_operation_has_a_name_in_the_config():
    assert tuple(OPERATIONS) == AUGMENTATIONS


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_a_copy_and_takes_all_numbers(name, face):
    before = face.copy()
    for u in (0.0, 0.5, 1 - 2.0**-53):
        result = OPERATIONS[name](face, np.full(choices.CHOICES, u))
        assert result.shape == (112, 112, 3) and result.dtype == np.uint8
        np.testing.assert_array_equal(face, before)
        assert not np.shares_memory(result, face)


def bilinear(part, size):
    """Enlarged with pixels' centers at halves, from the definition."""
    ratio = np.array(part.shape[:2]) / size
    places = [np.clip((np.arange(size) + 0.5) * ratio[axis] - 0.5, 0, part.shape[axis] - 1) for axis in (0, 1)]
    low = [np.floor(place).astype(int) for place in places]
    high = [np.minimum(low[axis] + 1, part.shape[axis] - 1) for axis in (0, 1)]
    y, x = (places[axis] - low[axis] for axis in (0, 1))
    y, x = y[:, None, None], x[None, :, None]
    part = part.astype(float)
    top = part[low[0]][:, low[1]] * (1 - x) + part[low[0]][:, high[1]] * x
    bottom = part[high[0]][:, low[1]] * (1 - x) + part[high[0]][:, high[1]] * x
    return top * (1 - y) + bottom * y


def test_crop(face):
    box = (5, 9, 98, 100)
    cropped = operations.crop(face, box)
    np.testing.assert_array_equal(cropped, cv2.resize(face[5:103, 9:109], (112, 112)))
    assert_near(cropped, bilinear(face[5:103, 9:109], 112))
    np.testing.assert_array_equal(operations.crop(face, (0, 0, 112, 112)), face)


def test_crop_pad(face):
    cropped = operations.crop_pad(face, (5, 9, 60, 40))
    inside = np.zeros((112, 112), bool)
    inside[5:65, 9:49] = True
    np.testing.assert_array_equal(cropped[inside], face[inside])
    assert not cropped[~inside].any()


def test_cutout(face):
    covered = operations.cutout(face, (5, 9, 60, 40))
    inside = np.zeros((112, 112), bool)
    inside[5:65, 9:49] = True
    np.testing.assert_array_equal(covered[~inside], face[~inside])
    assert (covered[inside] == 128).all()


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 1.5])
def test_brightness_contrast_and_saturation(face, factor):
    pixels = face.astype(float)
    luma = pixels @ LUMA
    assert_near(operations.brightness(face, factor), rounded(factor * pixels))
    assert_near(operations.contrast(face, factor), rounded(factor * pixels + (1 - factor) * luma.mean()))
    assert_near(operations.saturation(face, factor), rounded(factor * pixels + (1 - factor) * luma[..., None]))
    if factor == 1:
        np.testing.assert_array_equal(operations.contrast(face, factor), face)


def test_gray(face):
    grayed = operations.gray(face)
    assert_near(grayed, np.repeat((face @ LUMA)[..., None], 3, axis=2))
    assert (grayed == grayed[..., :1]).all()


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 2.0])
def test_blur(face, sigma):
    reach = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    kernel = np.exp(-(reach**2) / (2 * sigma**2))
    expected = face.astype(float)
    for axis in (0, 1):
        expected = correlate1d(expected, kernel / kernel.sum(), axis, mode="mirror")
    assert_near(operations.blur(face, sigma), expected)


@pytest.mark.parametrize("side", [22, 56, 111])
def test_low_resolution(face, side):
    lowered = operations.low_resolution(face, (side, side), cv2.INTER_AREA, cv2.INTER_LINEAR)
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    assert_near(lowered, bilinear(small, 112))
    nearest = operations.low_resolution(face, (side, side), cv2.INTER_NEAREST, cv2.INTER_NEAREST)
    place = np.arange(112) * side // 112 * 112 // side
    np.testing.assert_array_equal(nearest, face[place][:, place])


@pytest.mark.parametrize("quality", [20, 60, 90])
def test_jpeg(face, quality):
    stored = io.BytesIO()
    Image.fromarray(face).save(stored, "JPEG", quality=quality, subsampling="4:2:0")
    np.testing.assert_array_equal(operations.jpeg(face, quality), np.asarray(Image.open(stored).convert("RGB")))


# --- how strong ---


def chosen(monkeypatch, name, count=2000, size=(112, 112)):
    """What an operation is called with for many samples, a list of its arguments after the image."""
    calls = []
    monkeypatch.setattr(operations, name, lambda image, *arguments: calls.append(arguments) or image)
    rng = np.random.default_rng(1)
    for u in rng.random((count, choices.CHOICES)):
        OPERATIONS[name](np.zeros((*size, 3), np.uint8), u)
    return calls


def test_boxes_are_inside_and_reach_every_edge(monkeypatch):
    for name in ("crop", "crop_pad", "cutout"):
        boxes = np.array([box for (box,) in chosen(monkeypatch, name)])
        top, left, height, width = boxes.T
        assert (boxes >= 0).all() and (height > 0).all() and (width > 0).all()
        for first, length in ((top, height), (left, width)):
            assert (first + length <= 112).all() and first.min() == 0 and (first + length).max() == 112
        if name == "crop":
            assert (height == width).all() and set(height) == set(range(98, 113))
        if name == "crop_pad":
            whole = (height < 112) & (width < 112)
            assert (np.abs(np.log(width / height)) < math.log(4 / 3) + 0.03)[whole].all()
            assert 0.19 < (height * width / 112**2).min() < 0.25 and (height * width / 112**2).max() > 0.9
            assert (height * width / 112**2)[whole].mean() == pytest.approx(0.55, abs=0.05)
        if name == "cutout":
            assert max(height.max(), width.max()) == 56 and (height >= 14).all() and (width >= 14).all()


@pytest.mark.parametrize("size", [(96, 112), (224, 160)])
def test_boxes_follow_the_size_of_the_image(monkeypatch, size):
    for name in ("crop", "crop_pad", "cutout"):
        boxes = np.array([box for (box,) in chosen(monkeypatch, name, size=size)])
        top, left, height, width = boxes.T
        assert (boxes >= 0).all() and (height > 0).all() and (width > 0).all()
        for first, length, whole in ((top, height, size[0]), (left, width, size[1])):
            assert first.min() == 0 and (first + length).max() == whole
        if name == "crop":
            assert (np.abs(width / height - size[1] / size[0]) < 0.01).all()
            assert (height.min(), height.max()) == (size[0] * 7 // 8, size[0])
        if name == "crop_pad":
            share = height * width / (size[0] * size[1])
            assert 0.19 < share.min() < 0.25 and share.max() > 0.9
        if name == "cutout":
            assert max(height.max(), width.max()) == min(size) // 2


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_keeps_the_size_of_the_image(name):
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    for u in (0.0, 0.5, 1 - 2.0**-53):
        assert OPERATIONS[name](image, np.full(choices.CHOICES, u)).shape == (96, 128, 3)


def test_ranges(monkeypatch):
    sigmas = np.array(chosen(monkeypatch, "blur"))
    assert 0.1 <= sigmas.min() < 0.15 and 1.95 < sigmas.max() <= 2
    assert {quality for (quality,) in chosen(monkeypatch, "jpeg")} == set(range(20, 91))
    sides, down, up = zip(*chosen(monkeypatch, "low_resolution"), strict=True)
    assert set(sides) == {(side, side) for side in range(22, 112)} and set(down) == set(up) and len(set(up)) == 5


def test_colors_change_in_any_order(monkeypatch):
    def recorded(kind):
        return lambda image, factor: orders[-1].append((kind, factor)) or image

    orders = []
    monkeypatch.setattr(choices, "_JITTER", tuple(map(recorded, range(3))))
    for u in np.random.default_rng(2).random((600, choices.CHOICES)):
        orders.append([])
        choices.color(np.zeros((112, 112, 3), np.uint8), u)
    assert len({tuple(kind for kind, _ in order) for order in orders}) == 6
    factors = np.array([[factor for _, factor in sorted(order)] for order in orders])
    assert (factors >= 0.5).all() and (factors < 1.5).all()
    assert np.abs(factors.mean(0) - 1).max() < 0.05 and np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.15
