"""A picture of a person: paint on a larger canvas, shrink, then what light and camera do to it."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from data.drawn import hair, parts
from data.drawn.geometry import ORIGIN, SIZE, Canvas, Shape
from data.drawn.identity import Identity
from data.drawn.nuisance import Level, Nuisance
from data.drawn.occlusion import occluder
from utils.pixels import USUAL_SIZE, ImageShape, fitted

_AXIS = np.arange(SIZE, dtype=np.float32)
_REACH = 48.0  # crop pixels over which light of strength 1 grows by a factor of e


class _Still(NamedTuple):
    """The shapes of a person that no circumstance changes."""

    behind: tuple[Shape, ...]
    neck: tuple[Shape, ...]
    beard: tuple[Shape, ...]
    marks: tuple[Shape, ...]
    above: tuple[Shape, ...]
    glasses: tuple[Shape, ...]

    @classmethod
    @lru_cache(maxsize=2)  # pictures of a person are drawn one after the other
    def of(cls, face: Identity) -> "_Still":
        layers = (hair.behind, parts.neck_and_ears, parts.beard, parts.marks, hair.above, parts.glasses)
        return cls(*(tuple(layer(face)) for layer in layers))


def render(face: Identity, now: Nuisance) -> np.ndarray:
    """(112, 112, 3) uint8 RGB."""
    backdrop = cv2.resize(now.background.astype(np.uint8), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    canvas = Canvas(backdrop, now.view)
    still = _Still.of(face)
    canvas.paint(*still.behind, parts.shirt(now), *still.neck, *parts.head(face, now.light), *still.beard)
    canvas.soften(3)
    canvas.resize(2)  # the features are painted finer than the crop shows them
    features = [*still.marks, *parts.nose(face, now.light), *parts.mouth(face, now), *parts.eyes(face, now)]
    canvas.paint(*features, *parts.brows(face, now), *still.above, *still.glasses, *occluder(face, now))
    canvas.resize(1)
    return _camera(canvas.pixels * _shading(face, now, canvas), now)


def _shading(face: Identity, now: Nuisance, canvas: Canvas) -> np.ndarray:
    """(112, 112, 3) float32 factors near 1: soft spots of shade and blush, and light from one side over all.

    A spot is a product of a Gaussian along x and one along y, so that all of them together are one matrix product, and
    so is light that grows exponentially to one side.
    """
    socket, blush, lift = -face.sockets, face.blush, 0.1
    # x, y, sigma x, sigma y, then red, green and blue
    spots = np.array(
        [
            (-face.eye_x, face.eye_y - 2, 8, 5, socket, socket, socket * 0.9),
            (face.eye_x, face.eye_y - 2, 8, 5, socket, socket, socket * 0.9),
            (-face.cheek * 0.58, 6, 8, 7, blush * 0.3, -blush, -blush * 0.7),
            (face.cheek * 0.58, 6, 8, 7, blush * 0.3, -blush, -blush * 0.7),
            (0, face.nose_y - 5, 2.5, 4, lift, lift, lift),
            (0, face.nose_y + 5, 6, 2.5, -0.14, -0.16, -0.16),
            (0, face.mouth_y + face.lower_lip + 4, 7, 2, -0.16, -0.18, -0.18),
            (0, face.chin_y - 5, 7, 4, 0.06, 0.06, 0.06),
        ]
    )
    middle = canvas.project(spots[:, :2]).astype(np.float32).T[:, :, None]  # (2, spots, 1)
    gauss = np.exp(-0.5 * ((_AXIS - middle) / spots[:, 2:4].astype(np.float32).T[:, :, None]) ** 2)
    across, down = np.concatenate([gauss, np.ones((2, 1, SIZE), np.float32)], 1)  # a last spot without end: 1
    tint = np.vstack([spots[:, 4:], np.ones(3)]).astype(np.float32)
    across *= np.exp(np.float32(now.light[0] / _REACH) * (_AXIS - np.float32(ORIGIN[0])))
    down *= np.exp(np.float32(now.light[1] / _REACH) * (_AXIS - np.float32(ORIGIN[1])))
    return (down.T @ (across[:, :, None] * tint[:, None]).reshape(len(tint), -1)).reshape(SIZE, SIZE, 3)


def _camera(picture: np.ndarray, now: Nuisance) -> np.ndarray:
    """Saturation, cast, contrast, blur, few pixels, noise and tone curve: float32 (112, 112, 3) -> uint8."""
    gray = np.full((3, 3), (1.0 - now.saturation) / 3)
    color = now.contrast * now.gain[:, None] * (gray + now.saturation * np.eye(3))
    picture = cv2.transform(picture, np.column_stack([color, np.full(3, 110.0 * (1.0 - now.contrast))]))
    if now.blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), now.blur)
    if now.side < SIZE:
        small = cv2.resize(picture, (now.side, now.side), interpolation=cv2.INTER_AREA)
        picture = cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    noise = (now.noise_pixels - np.float32(127.5)) * np.float32(now.noise / 127.5)
    picture = cv2.add(picture, cv2.merge([noise] * 3), dtype=cv2.CV_8U)
    return cv2.LUT(picture, np.rint(255.0 * (np.arange(256) / 255.0) ** now.gamma).astype(np.uint8))


def encode_face(picture: np.ndarray, quality: int) -> bytes:
    """(H, W, 3) uint8 RGB -> JPEG."""
    return cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def draw_face(
    seed: int,
    identity: int,
    image: int,
    level: Level,
    face: Identity | None = None,
    size: tuple[int, int] = USUAL_SIZE,
) -> bytes:
    """JPEG of picture number `image` of a person. face: Identity.draw(seed, identity), where it is at hand already.

    size: height and width, to which the picture of 112x112 pixels is scaled.
    """
    now = Nuisance.draw(np.random.default_rng([seed, identity, 1 + image]), level)
    picture = render(face or Identity.draw(seed, identity), now)
    return encode_face(fitted(picture, ImageShape(*size)), now.quality)
