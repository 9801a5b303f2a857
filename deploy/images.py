"""Aligned faces to check and calibrate an export on."""

from pathlib import Path

import cv2
import numpy as np

from data.drawn import USUAL, draw_face
from evaluation.sources import open_source


def read_images(path: Path, most: int, image_size: tuple[int, int] | None = None) -> np.ndarray:
    """At most `most` images, evenly from all, (N, H, W, 3) uint8 RGB, of what `evaluation.sources` can open.

    image_size: as `open_source` takes it. Raises UserError where there is none, or one does not decode or has another
    size.
    """
    images = open_source(path, image_size=image_size)
    return np.concatenate([images.decode(i, i + 1) for i in _evenly(len(images), most)])


def drawn_faces(count: int) -> np.ndarray:
    """Drawn faces of `count` people, (count, 112, 112, 3) uint8 RGB, where there is no photograph."""
    jpegs = (draw_face(seed=0, identity=number, image=0, level=USUAL) for number in range(count))
    return np.stack([_to_rgb(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)) for jpeg in jpegs])


def _evenly(count: int, most: int) -> list[int]:
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def _to_rgb(bgr: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
