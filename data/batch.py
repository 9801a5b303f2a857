"""What a loader gives to a step."""

from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """A rank's images of one step.

    images: (B, H, W, C) uint8, RGB or gray; labels: (B,) int64; records: (B,) int64, their numbers in the dataset;
    mirrored: (B,) bool, those that the device turns left to right (None: none); teacher: its embeddings of them,
    (B, T) float32, or None.
    """

    images: np.ndarray
    labels: np.ndarray
    records: np.ndarray
    mirrored: np.ndarray | None = None
    teacher: np.ndarray | None = None
