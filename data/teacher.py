"""The embeddings of a teacher for the images of a batch."""

from collections.abc import Callable
from typing import Protocol

import numpy as np


class Teacher(Protocol):
    """size: T, the length of its embeddings. Safe in several threads at once."""

    size: int

    def __call__(self, records: np.ndarray, mirrored: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """records (B,) whole numbers; mirrored (B,) bool; pixels (B, H, W, 3) uint8 RGB, before they are mirrored
        -> (B, T) float32.
        """


class StoredTeacher:
    """rows: (N, views, T) float32 or float16 by record, maybe memory-mapped; the second view, if there is one, is of
    mirrored images.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._rows, self.size = rows, rows.shape[2]

    def __call__(self, records: np.ndarray, mirrored: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        views = mirrored.astype(np.intp) if self._rows.shape[1] == 2 else 0
        return np.asarray(self._rows[records, views], np.float32)


class LiveTeacher:
    """embed: a model, pixels -> (B, T), run on the very images that the student sees."""

    def __init__(self, embed: Callable[[np.ndarray], np.ndarray], size: int) -> None:
        self._embed, self.size = embed, size

    def __call__(self, records: np.ndarray, mirrored: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        pixels = np.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)
        return np.asarray(self._embed(pixels), np.float32)
