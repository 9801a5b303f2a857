"""Class centers in two bytes a number, rounded up or down at random so that small steps are not lost.

Rounded to the nearest, an update below half the spacing of float16 would never change a weight. With a chance in
proportion to the distance, the expected value is the exact one (Gupta et al., "Deep Learning with Limited Numerical
Precision", ICML 2015).
"""

import cv2
import numpy as np


def to_float16(values: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """float32 -> float16, (rows, ...). noise: random uint32 of the same shape; the low 13 bits are used.

    Below 6e-5, where float16 has no more full digits, it rounds to the nearest of its smallest numbers.
    """
    bits = values.view(np.uint32) + (noise & np.uint32(0x1FFF))
    bits &= np.uint32(0xFFFFE000)
    # OpenCV has the processor's own instruction for it, 20 times as fast as NumPy; it takes two axes
    rows = bits.view(np.float32).reshape(len(bits), -1)
    return cv2.convertFp16(rows).view(np.float16).reshape(values.shape)


def from_float16(values: np.ndarray) -> np.ndarray:
    """float16 -> float32, both (rows, ...)."""
    return cv2.convertFp16(values.view(np.int16).reshape(len(values), -1)).reshape(values.shape)


def to_bfloat16(values: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """float32 -> the bits of bfloat16 as uint16. noise: random uint32 of the same shape; the high 16 bits are used."""
    bits = values.view(np.uint32) + (noise >> np.uint32(16))
    bits >>= np.uint32(16)
    return bits.astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """The bits of bfloat16 as uint16 -> float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_float32(values: np.ndarray) -> np.ndarray:
    """float32 from float32 (as it is), float16, or the bits of bfloat16 as uint16."""
    return from_bfloat16(values) if values.dtype == np.uint16 else values.astype(np.float32, copy=False)
