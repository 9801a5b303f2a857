"""Faces cut by five landmarks, to 112x112 pixels as ArcFace's sets and the IJB protocols are, or to another size."""

import cv2
import numpy as np

from utils.errors import UserError
from utils.pixels import USUAL_SIZE

# In a face of 112x112 pixels: left eye, right eye (as seen in the picture), tip of the nose, left and right corner of
# the mouth; x and y.
REFERENCE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float32,
)
_LEAST = 1e-6  # spread in parts of the coordinates, and likeness to the template, below which rounding alone is left

_template = REFERENCE.astype(np.float64) @ (1, 1j)
_template_center = _template.mean()
_template -= _template_center


def similarity(landmarks: np.ndarray) -> np.ndarray:
    """The scaling, rotation and shift, (2, 3) float64, that carry `landmarks` (5, 2) to REFERENCE.

    They leave the least sum of squared distances (Umeyama, 1991, without reflection). With points as complex numbers
    this is the linear regression z -> a z + b. Raises UserError where no such transform is determined.
    """
    if landmarks.shape != REFERENCE.shape:
        raise ValueError(f"landmarks {landmarks.shape}, not {REFERENCE.shape}")
    if not np.isfinite(landmarks).all():
        raise UserError("its landmarks are not all numbers; detect the face again, or leave the image out")
    points = landmarks.astype(np.float64) @ (1, 1j)
    center = points.mean()
    centered = points - center
    spread = np.linalg.norm(centered)
    product = np.vdot(centered, _template)
    # Not above also where the squares are beyond float64.
    if not (spread > _LEAST * np.abs(points).max() and abs(product) > _LEAST * spread * np.linalg.norm(_template)):
        raise UserError("its landmarks are not those of a face; detect it again, or leave the image out")
    a = product / spread**2
    b = _template_center - a * center
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align(image: np.ndarray, landmarks: np.ndarray, size: tuple[int, int] = USUAL_SIZE) -> np.ndarray:
    """The face at `landmarks` (5, 2), x and y in pixels, of `image` (H, W, 3) uint8, as (*size, 3) uint8.

    It fills the height as in 112x112 pixels, and its middle is in the middle: what a network of that size is given of
    112x112 pixels (utils/pixels.py), but as sharp as the image is. Bilinear, and black outside the image. Raises
    UserError as `similarity` does.
    """
    return cv2.warpAffine(image, _resized(size) @ np.vstack([similarity(landmarks), (0, 0, 1)]), size[::-1])


def _resized(size: tuple[int, int]) -> np.ndarray:
    """From pixels of 112x112 to those of `size`, (2, 3) float64; a pixel's coordinates are those of its middle."""
    scale = size[0] / USUAL_SIZE[0]
    aside = (size[1] - USUAL_SIZE[1] * scale) / 2
    return np.array([[scale, 0, (scale - 1) / 2 + aside], [0, scale, (scale - 1) / 2]])
