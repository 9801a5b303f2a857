"""InsightFace's verification sets: `*.bin`, a pickle of (encoded images, one same/different flag per pair).

Images 2k and 2k + 1 are pair k.
"""

import functools
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from utils.errors import UserError
from utils.files import digest_of, new_file, refuse_pipe
from utils.pixels import SIDES, size_words
from utils.reading.images import decode
from utils.reading.pickled import read_pickle
from utils.reading.pickled_arrays import Unreadable

_SHARED, _PER_BYTE = 4 << 30, 64  # bytes of all images, which pairs may have in common, in all and by byte of the file
_MAX_PIXELS = max(SIDES) ** 2


def _items(part: Any) -> list | None:
    return list(part) if isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.ndim) else None


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, int, np.bool_, np.integer)) and value in (0, 1)


def _shown(flag: Any) -> str:
    """A flag that is none, in a few words: what a stranger wrote may be long."""
    if isinstance(flag, int | np.generic):
        return repr(flag)
    return repr(flag[:40]) if isinstance(flag, str | bytes) else f"of type {type(flag).__name__}"


def _is_encoded(image: Any) -> bool:
    return isinstance(image, bytes) or (isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 1)


class BinSet:
    """A verification set, its images still encoded: `issame` (pairs,) bool, `len()` images, `decode(i, j)` pixels.

    Its images all have the size of the first.
    """

    def __init__(self, path: Path, images: Sequence[bytes | np.ndarray], issame: np.ndarray) -> None:
        self.path = path
        self.issame = issame
        self._images = images

    @classmethod
    def load(cls, path: str | Path) -> "BinSet":
        """Reads the file, without decoding and without running what an untrusted pickle may carry.

        Raises UserError where the file is missing, is no such set, or does not hold two images for each pair.
        """
        path = Path(path)
        try:
            refuse_pipe(path)
            content = read_pickle(path)
        except FileNotFoundError:
            raise UserError(f"val_targets names {path.stem!r}, but {path} is missing") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        except Unreadable as error:
            raise UserError(f"{path} is not an InsightFace verification set: {error}") from None
        parts = content if isinstance(content, tuple | list) and len(content) == 2 else ()
        images, issame = map(_items, parts) if parts else (None, None)
        if images is None or issame is None:
            raise UserError(f"{path} is not an InsightFace verification set: no (images, issame) in it")
        if not issame or len(images) != 2 * len(issame):
            raise UserError(f"{path} holds {len(images)} images for {len(issame)} pairs; it takes two for each pair")
        for number, flag in enumerate(issame):
            if not _is_flag(flag):
                raise UserError(f"{path}: the flag of pair {number} is {_shown(flag)}, neither true nor false")
        for number, image in enumerate(images):
            if not _is_encoded(image):
                raise UserError(f"{path}: image {number} is no encoded image but {type(image).__name__}")
        if sum(map(len, images)) > max(_SHARED, _PER_BYTE * path.stat().st_size):
            raise UserError(f"{path} is no set that can be used: it has the same images again and again")
        return cls(path, images, np.array(issame, dtype=bool))

    def __len__(self) -> int:
        return len(self._images)

    def name(self, number: int) -> str:
        """What a person would call the image."""
        return f"image {number} of {self.path.name}"

    def encoded(self, number: int) -> bytes:
        """The image as it is in the file."""
        return bytes(self._images[number])

    @functools.cached_property
    def image_size(self) -> tuple[int, int]:
        """Height and width. Raises UserError where the first image does not decode."""
        height, width, _ = self._decoded(0).shape
        return height, width

    def digest(self) -> str:
        """Of the encoded images."""
        return digest_of(map(bytes, self._images))

    def decode(self, start: int, stop: int) -> np.ndarray:
        """Images start ... stop - 1 as RGB, (stop - start, *image_size, 3) uint8.

        Raises UserError where an image does not decode or has another size.
        """
        pixels = np.empty((len(self._images[start:stop]), *self.image_size, 3), dtype=np.uint8)
        for offset in range(len(pixels)):
            bgr = self._decoded(start + offset)
            if bgr.shape[:2] != self.image_size:
                first = f"not {size_words(self.image_size)} as image 0"
                raise UserError(f"{self.path}: image {start + offset} is {size_words(bgr.shape)} pixels, {first}")
            cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=pixels[offset])
        return pixels

    def _decoded(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8 BGR."""
        bgr = decode(self._images[number], cv2.IMREAD_COLOR, _MAX_PIXELS)
        if bgr is None:
            raise UserError(f"{self.path}: image {number} does not decode")
        return bgr


def write_bin(path: str | Path, images: Sequence[bytes], issame: Sequence[bool]) -> None:
    """Writes encoded images (2 x pairs) and flags (pairs) as InsightFace's `*.bin`; a reader sees all of it or none.

    Raises ValueError where there are not two images for each pair.
    """
    if len(images) != 2 * len(issame):
        raise ValueError(f"{len(images)} images for {len(issame)} pairs")
    path = Path(path)
    with new_file(path) as unfinished, unfinished.open("wb") as file:
        pickle.dump(([bytes(image) for image in images], [bool(same) for same in issame]), file, protocol=4)
