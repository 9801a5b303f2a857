"""How strongly a sample is changed: uniform numbers become an operation's parameters, in ranges the field uses.

Each function takes an image and numbers u from [0, 1), (CHOICES,), and uses as many of them as it needs. Sources:
AdaFace (Kim, Jain, Liu 2022, its training code), face.evoLVe, SimCLR (Chen et al. 2020), Cutout (DeVries, Taylor 2017)
and InsightFace's MXNet iterator.
"""

import itertools
import math
from collections.abc import Callable

import cv2
import numpy as np

from data.augment import operations
from data.augment.operations import Box

CHOICES = 7  # numbers that an operation may use

_INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
_JITTER = (operations.brightness, operations.contrast, operations.saturation)
_ORDERS = tuple(itertools.permutations(range(len(_JITTER))))


def crop(image: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A box of 7/8 to all of each side, enlarged: face.evoLVe takes 112 pixels anywhere of a face enlarged to 128."""
    whole, wide = image.shape[:2]
    height = _whole(u[0], whole - whole // 8, whole)
    return operations.crop(image, _placed(image, height, round(height * wide / whole), u[1], u[2]))


def crop_pad(image: np.ndarray, u: np.ndarray) -> np.ndarray:
    """AdaFace's crop: a box of 0.2 to 1 of the area and sides of 3:4 to 4:3 stays, black around it.

    A box that is longer than the image is cut off, where torchvision's sampling tries again.
    """
    high, wide = image.shape[:2]
    area, aspect = _between(u[0], 0.2, 1) * (high * wide), math.exp(_between(u[1], math.log(3 / 4), math.log(4 / 3)))
    height, width = min(round(math.sqrt(area / aspect)), high), min(round(math.sqrt(area * aspect)), wide)
    return operations.crop_pad(image, _placed(image, height, width, u[2], u[3]))


def color(image: np.ndarray, u: np.ndarray) -> np.ndarray:
    """AdaFace's jitter: brightness, contrast and saturation, each by a factor of 0.5 to 1.5, in random order."""
    for kind in _chosen(u[3], _ORDERS):
        image = _JITTER[kind](image, _between(u[kind], 0.5, 1.5))
    return image


def gray(image: np.ndarray, u: np.ndarray) -> np.ndarray:
    """No choice to make."""
    return operations.gray(image)


def blur(image: np.ndarray, u: np.ndarray) -> np.ndarray:
    """SimCLR's sigmas, 0.1 to 2 pixels."""
    return operations.blur(image, _between(u[0], 0.1, 2))


def low_resolution(image: np.ndarray, u: np.ndarray) -> np.ndarray:
    """AdaFace's: 0.2 to 1 of the side, down and up by any of OpenCV's five interpolations."""
    share = _between(u[0], 0.2, 1)
    high, wide = (max(int(share * side), 1) for side in image.shape[:2])
    return operations.low_resolution(
        image, (high, wide), _chosen(u[1], _INTERPOLATIONS), _chosen(u[2], _INTERPOLATIONS)
    )


def jpeg(image: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A quality of 20 to 90; InsightFace's iterator goes down to 2, below what photographs are stored with."""
    return operations.jpeg(image, _whole(u[0], 20, 90))


def cutout(image: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A square of a quarter to half of the shorter side around any pixel, as far as it is inside: of 112 pixels 28 to
    56, as Cutout's and InsightFace's.
    """
    shorter = min(image.shape[:2])
    side = _whole(u[0], shorter // 4, shorter // 2)
    first = [_whole(number, 0, whole - 1) - side // 2 for number, whole in zip(u[1:3], image.shape[:2], strict=True)]
    (top, bottom), (left, right) = (
        (max(at, 0), min(at + side, whole)) for at, whole in zip(first, image.shape[:2], strict=True)
    )
    return operations.cutout(image, (top, left, bottom - top, right - left))


# In the order in which they are applied, a photograph's own: framing, light, lens, sensor, file; the occluder last.
OPERATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "crop": crop,
    "crop_pad": crop_pad,
    "color": color,
    "gray": gray,
    "blur": blur,
    "low_resolution": low_resolution,
    "jpeg": jpeg,
    "cutout": cutout,
}


def _between(u: float, low: float, high: float) -> float:
    return low + (high - low) * float(u)


def _whole(u: float, low: int, high: int) -> int:
    """One of low ... high, both possible."""
    return low + int(u * (high - low + 1))


def _chosen(u: float, choices: tuple):
    return choices[int(u * len(choices))]


def _placed(image: np.ndarray, height: int, width: int, u: float, v: float) -> Box:
    return _whole(u, 0, image.shape[0] - height), _whole(v, 0, image.shape[1] - width), height, width
