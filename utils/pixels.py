"""How pixels become a network's numbers: (x - MEAN) / STD, the same for training, evaluation, export and quantization.

On a device it is backbones/pixels.py that does it.
"""

import numpy as np

MEAN = STD = 127.5  # 0 ... 255 becomes -1 ... 1, as in InsightFace


def normalized(images: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8 -> (N, C, H, W) float32."""
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    pixels -= MEAN
    pixels /= STD
    return pixels
