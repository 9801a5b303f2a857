"""Drawn faces: what a picture depends on, and what it does not."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from data.drawn import HARD, USUAL, Identity, Level, Nuisance, draw_face, render
from data.drawn.geometry import Canvas, Shape, View, ellipse
from data.drawn.hair import _STYLES
from data.drawn.identity import HAIR_STYLES

FRONT = View(yaw=0.0, pitch=0.0, roll=0.0, shift=(0.0, 0.0), zoom=1.0)


def picture(seed: int, identity: int, image: int, level: Level = USUAL) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(draw_face(seed, identity, image, level), np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_picture_depends_on_seed_identity_and_image_alone():
    first = draw_face(3, 7, 1, USUAL)
    for image in range(3):
        draw_face(3, 8, image, USUAL)
    assert draw_face(3, 7, 1, USUAL) == first
    assert draw_face(3, 7, 1, USUAL, Identity.draw(3, 7)) == first
    assert len({first, draw_face(4, 7, 1, USUAL), draw_face(3, 8, 1, USUAL), draw_face(3, 7, 2, USUAL)}) == 4


def test_pictures_do_not_share_the_random_stream_of_who_it_is():
    # SeedSequence pads with zeros: [seed, identity] and [seed, identity, 0] are one stream
    identity, image = (np.random.default_rng([5, 6, last]).random(4) for last in (0, 1))
    assert not np.array_equal(identity, image)


@pytest.mark.parametrize("level", [USUAL, HARD])
def test_every_picture_is_a_color_crop_with_something_in_it(level):
    for identity in range(40):  # enough for every hair style, beard and occlusion
        pixels = picture(0, identity, identity, level)
        assert pixels.shape == (112, 112, 3) and pixels.dtype == np.uint8
        assert pixels.std() > 4


def test_large_numbers_and_seeds_are_people_too():
    assert draw_face(2**40, 2**24 + 2**20, 2**20, USUAL) != draw_face(2**40 + 1, 2**24 + 2**20, 2**20, USUAL)


def test_every_hair_style_can_be_drawn():
    assert set(_STYLES) == set(HAIR_STYLES)


def test_shapes_land_where_the_view_puts_them():
    """A disc between eyes and mouth is centered on the frame's origin, at crop scale and at twice that."""
    for scale in (1, 2):
        canvas = Canvas(np.zeros((112 * scale, 112 * scale, 3), np.uint8), FRONT)
        canvas.paint(Shape(ellipse(0, 0, 8, 8, count=64), np.array([255.0, 255.0, 255.0])))
        canvas.resize(1)
        rows, columns = np.indices((112, 112))
        weight = canvas.pixels[:, :, 0] / 255.0
        assert weight.sum() == pytest.approx(np.pi * 8.3**2, rel=0.1)  # OpenCV draws the rim on top
        assert (weight * columns).sum() / weight.sum() == pytest.approx(56, abs=0.1)
        assert (weight * rows).sum() / weight.sum() == pytest.approx(72, abs=0.1)


def test_what_stands_out_moves_more_when_the_head_turns():
    turned = Canvas(np.zeros((112, 112, 3), np.uint8), View(yaw=0.3, pitch=0.0, roll=0.0, shift=(0.0, 0.0), zoom=1.0))
    point = np.array([[0.0, 0.0]])
    assert turned.project(point, 10.0)[0, 0] - turned.project(point)[0, 0] == pytest.approx(10 * np.sin(0.3))


def test_a_share_of_pictures_is_of_low_quality_and_the_others_stay_what_they_are():
    half = replace(USUAL, low_quality=0.5)
    drawn = [
        (Nuisance.draw(np.random.default_rng([1, n]), USUAL), Nuisance.draw(np.random.default_rng([1, n]), half))
        for n in range(200)
    ]
    blurred = [low for usual, low in drawn if low.blur != usual.blur]
    coarse = [low for _, low in drawn if low.side < 112]
    covered = [
        low
        for usual, low in drawn
        if low.occluder is not usual.occluder and not np.array_equal(low.occluder, usual.occluder)
    ]
    assert all(20 < len(changed) < 50 for changed in (blurred, coarse, covered))
    assert all(2 <= low.blur <= 7 for low in blurred) and all(10 <= low.side <= 36 for low in coarse)
    assert all(low.occlusion == "patch" for low in covered)
    same = [picture(0, 3, n, USUAL).tobytes() == picture(0, 3, n, half).tobytes() for n in range(20)]
    assert 3 < sum(same) < 17


def test_few_pixels_and_patches_change_as_much_as_they_say():
    face = Identity.draw(0, 5)
    now = replace(Nuisance.draw(np.random.default_rng(3), USUAL), blur=0.0, noise=0.0, occlusion=None)
    sharp = render(face, now).astype(float)
    changes = [np.abs(render(face, replace(now, side=side)) - sharp).mean() for side in (56, 28, 14)]
    assert changes == sorted(changes) and changes[0] > 0.5
    areas = [(np.abs(render(face, now.covered(half)) - sharp).max(axis=2) > 8).sum() for half in (8.0, 14.0, 28.0)]
    np.testing.assert_allclose(areas, [16**2, 28**2, 56**2], rtol=0.35)  # tilted, and some colors are alike
