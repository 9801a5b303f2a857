"""How pictures become a network's numbers, the same for training, evaluation, export and quantization.

Images of another size are scaled, and numbers are (x - MEAN) / STD. On a device it is backbones/pixels.py that
normalizes.
"""

from typing import NamedTuple

import cv2
import numpy as np

MEAN = STD = 127.5  # 0 ... 255 becomes -1 ... 1, as in InsightFace


class ImageShape(NamedTuple):
    """What a network takes: pixels, and 3 channels (RGB) or 1 (gray)."""

    height: int = 112
    width: int = 112
    channels: int = 3


USUAL_SHAPE = ImageShape()  # of aligned faces
USUAL_SIZE = USUAL_SHAPE[:2]
SIDES = range(16, 1025)  # pixels that a side of stored images can have


def size_words(size: tuple[int, ...]) -> str:
    """Height and width as sentences, options and files have them: 96x112."""
    return f"{size[0]}x{size[1]}"


def fitted(image: np.ndarray, shape: ImageShape) -> np.ndarray:
    """An RGB image (H, W, 3) uint8 in the shape that a network takes; itself if it has it already.

    It is scaled to the height. What is then too wide is cut at both sides, and what is too narrow repeats its edge: so
    a face keeps its proportions, and 112x112 to 112x96 leaves out 8 columns at each side, as between the alignments of
    ArcFace and SphereFace.
    """
    if image.shape[0] != shape.height:
        width = round(image.shape[1] * shape.height / image.shape[0])
        kind = cv2.INTER_AREA if shape.height < image.shape[0] else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, shape.height), interpolation=kind)
    if (more := image.shape[1] - shape.width) > 0:
        image = image[:, more // 2 : more // 2 + shape.width]
    elif more:
        image = cv2.copyMakeBorder(image, 0, 0, -more // 2, -more - -more // 2, cv2.BORDER_REPLICATE)
    return image if shape.channels == 3 else cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]


def all_fitted(images: np.ndarray, shape: ImageShape) -> np.ndarray:
    """`fitted` of each, (N, H, W, 3) -> (N, *shape)."""
    if images.shape[1:] == tuple(shape):
        return images
    return np.stack([fitted(image, shape) for image in images]) if len(images) else np.empty((0, *shape), np.uint8)


def normalized(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32."""
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    pixels -= MEAN
    pixels /= STD
    return pixels
