"""Aligned faces to check and calibrate an export on."""

from pathlib import Path

import cv2
import numpy as np

from data.faces import USUAL, draw_face
from evaluation.bin_set import IMAGE_SHAPE, BinSet
from utils.errors import UserError

_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def read_images(path: Path, most: int) -> np.ndarray:
    """At most `most` images, evenly from all, (N, 112, 112, 3) uint8 RGB, of a folder (and those in it) or a .bin set.

    Raises UserError where there is none, or one does not decode or has another size.
    """
    if path.suffix == ".bin" and path.is_file():
        images = BinSet.load(path)
        return np.concatenate([images.decode(i, i + 1) for i in _evenly(len(images), most)])
    if not path.is_dir():
        raise UserError(f"there is no folder of images at {path}")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
    if not files:
        raise UserError(f"{path} holds no images ({', '.join(sorted(_SUFFIXES))})")
    return np.stack([_read(files[i]) for i in _evenly(len(files), most)])


def drawn_faces(count: int) -> np.ndarray:
    """Drawn faces of `count` people, (count, 112, 112, 3) uint8 RGB, where there is no photograph."""
    jpegs = (draw_face(seed=0, identity=number, image=0, level=USUAL) for number in range(count))
    return np.stack([_to_rgb(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)) for jpeg in jpegs])


def _evenly(count: int, most: int) -> list[int]:
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def _read(file: Path) -> np.ndarray:
    bgr = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR) if file.stat().st_size else None
    if bgr is None:
        raise UserError(f"{file} is no image that can be read")
    if bgr.shape != IMAGE_SHAPE:
        raise UserError(f"{file} is {bgr.shape[1]}x{bgr.shape[0]} pixels, not 112x112 as aligned faces are")
    return _to_rgb(bgr)


def _to_rgb(bgr: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
