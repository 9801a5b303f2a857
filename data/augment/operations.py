"""What can be done to an image, each by its definition: (H, W, 3) uint8 RGB in, a new one of that kind out.

OpenCV does the work, as it lets other threads run meanwhile.
"""

import cv2
import numpy as np

HIDDEN = 128  # what is cut out becomes: the middle, 0 for the network, as in DeVries and Taylor's Cutout

Box = tuple[int, int, int, int]  # top, left, height, width in pixels


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """The box alone, enlarged bilinearly to the whole size."""
    top, left, height, width = box
    return cv2.resize(image[top : top + height, left : left + width], image.shape[1::-1])


def crop_pad(image: np.ndarray, box: Box) -> np.ndarray:
    """The box where it is, black around it."""
    top, left, height, width = box
    kept = np.zeros_like(image)
    kept[top : top + height, left : left + width] = image[top : top + height, left : left + width]
    return kept


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * x, rounded and limited to a byte, as the two that follow."""
    return cv2.addWeighted(image, factor, image, 0, 0)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * x + (1 - factor) * the image's mean luma."""
    mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * x + (1 - factor) * the pixel's luma."""
    return cv2.addWeighted(image, factor, gray(image), 1 - factor, 0)


def gray(image: np.ndarray) -> np.ndarray:
    """The luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian of `sigma` pixels over three sigmas to each side, the image mirrored at its edges."""
    size = 2 * round(3 * sigma) + 1
    kernel = cv2.getGaussianKernel(size, sigma, cv2.CV_32F)
    return cv2.sepFilter2D(image, -1, kernel, kernel)


def low_resolution(image: np.ndarray, size: tuple[int, int], down: int, up: int) -> np.ndarray:
    """Resized to `size`, (height, width) in pixels, and back, with OpenCV's interpolations `down` and `up`."""
    small = cv2.resize(image, size[::-1], interpolation=down)
    return cv2.resize(small, image.shape[1::-1], interpolation=up)


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """What is left after a JPEG of this quality, with 4:2:0 chroma."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # the order that the encoder expects
    encoded = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)


def cutout(image: np.ndarray, box: Box) -> np.ndarray:
    """`HIDDEN` inside the box."""
    top, left, height, width = box
    covered = image.copy()
    covered[top : top + height, left : left + width] = HIDDEN
    return covered
