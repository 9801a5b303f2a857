"""InsightFace's verification sets: `*.bin`, a pickle of (encoded images, one same/different flag per pair).

Images 2k and 2k + 1 are pair k.
"""

import codecs
import functools
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from utils.errors import UserError
from utils.files import digest_of
from utils.pixels import size_words


def _encode_latin1(text: str, encoding: str = "latin1") -> bytes:
    """Stands in for `_codecs.encode`, which pickles of protocol 2 and below name wherever they hold bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the codec {encoding}")
    return codecs.latin_1_encode(text)[0]


_RECONSTRUCT = np.zeros(0).__reduce__()[0]  # lives in numpy.core or numpy._core, as numpy's version has it
_SCALAR = np.bool_().__reduce__()[0]
_FROMBUFFER = np.zeros(0).__reduce_ex__(5)[0]
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode_latin1,
    ("__builtin__", "bytes"): bytes,
    **{
        (f"numpy.{core}.{module}", function.__name__): function
        for core in ("core", "_core")
        for module, function in (("multiarray", _RECONSTRUCT), ("multiarray", _SCALAR), ("numeric", _FROMBUFFER))
    },
}


class _SafeUnpickler(pickle.Unpickler):
    """A pickle can call whatever it can name; this one can name only what arrays and bytes are made of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no set of images needs")
        return _ALLOWED[module, name]


def _is_flag(value: Any) -> bool:
    return isinstance(value, (bool, int, np.bool_, np.integer)) and value in (0, 1)


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
            with path.open("rb") as file:
                # Sets written by Python 2 hold their JPEGs as str, which only this encoding leaves as they are.
                content = _SafeUnpickler(file, encoding="bytes").load()
        except FileNotFoundError:
            raise UserError(f"val_targets names {path.stem!r}, but {path} is missing") from None
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        except Exception as error:  # a damaged pickle raises nearly any type
            raise UserError(f"{path} is not an InsightFace verification set: {error}") from None
        try:
            images, issame = content
            images, issame = list(images), list(issame)
        except (TypeError, ValueError):
            raise UserError(f"{path} is not an InsightFace verification set: no (images, issame) in it") from None
        if not issame or len(images) != 2 * len(issame):
            raise UserError(f"{path} holds {len(images)} images for {len(issame)} pairs; it takes two for each pair")
        for number, flag in enumerate(issame):
            if not _is_flag(flag):
                raise UserError(f"{path}: the flag of pair {number} is {flag!r}, neither true nor false")
        for number, image in enumerate(images):
            if not _is_encoded(image):
                raise UserError(f"{path}: image {number} is no encoded image but {type(image).__name__}")
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
        return self._decoded(0).shape[:2]

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
        encoded = np.frombuffer(self._images[number], dtype=np.uint8)
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
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
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            pickle.dump(([bytes(image) for image in images], [bool(same) for same in issame]), file, protocol=4)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
