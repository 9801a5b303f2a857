"""Photographs of people on disk: which there are, and their pixels, upright."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from preparation.sources.files import read_regular
from utils.errors import UserError
from utils.reading.images import takes_hours

# Formats of photographs; others, such as EPS, would start programs of the system.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")


class Unusable(Exception):
    """A photograph that gives no face; the message is a reason for the report."""


def list_photos(folder: Path) -> tuple[list[tuple[bytes, bytes]], list[tuple[bytes, str]]]:
    """The files PERSON/FILE of a folder, FILE in folders of the person's own or not, as (person, file), and
    (name, reason) of what is left out, both sorted.

    Names with a leading dot do not count. Links are followed, but not into a folder that they are in. Raises UserError
    if a folder cannot be read.
    """
    photos, left_out = [], []
    for person in _scan(os.fsencode(folder)):
        if not os.path.isdir(person.path):
            left_out.append((person.name, "in nobody's folder"))
            continue
        for file, is_loop in _files(person.path, b"", (os.path.realpath(person.path),)):
            if is_loop:
                left_out.append((person.name + b"/" + file, "a link to a folder that it is in"))
            else:
                photos.append((person.name, file))
    return photos, left_out


def _files(folder: bytes, prefix: bytes, above: tuple[bytes, ...]) -> Iterator[tuple[bytes, bool]]:
    """The files of a folder and the folders in it, by their names from the first one, and links that lead back (True).

    above: real paths of the folder and those that it is in.
    """
    for entry in _scan(folder):
        name, real = prefix + entry.name, os.path.realpath(entry.path)
        if not os.path.isdir(entry.path):
            yield name, False
        elif real in above:
            yield name, True
        else:
            yield from _files(entry.path, name + b"/", (*above, real))


def read_photo(path: bytes, max_pixels: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright as EXIF data say.

    Raises Unusable if it cannot be read, is broken, or has more than `max_pixels`; of these none is decoded.
    """
    encoded = read_regular(path)
    if encoded is None:
        raise Unusable("cannot be read")
    if not encoded:
        raise Unusable("empty")
    Image.MAX_IMAGE_PIXELS = None  # its own bound is not the user's
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        try:
            with Image.open(io.BytesIO(encoded), formats=_FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise Unusable(f"{image.width}x{image.height} pixels, beyond --max_pixels")
                if takes_hours(encoded, max_pixels):
                    raise Unusable("broken")
                upright = ImageOps.exif_transpose(image)
        except Unusable:
            raise
        except MemoryError:
            raise Unusable("too large for the memory") from None
        except Exception as error:  # decoders raise whatever a damaged file leads them to
            reason = "no picture" if isinstance(error, Image.UnidentifiedImageError) else "broken"
            raise Unusable(reason) from None
        if upright.mode.startswith("I;16"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        return np.array(upright.convert("RGB"))


def _scan(folder: bytes) -> Iterator[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted((each for each in entries if each.name[:1] != b"."), key=lambda each: each.name))
    except OSError as error:
        raise UserError(f"{os.fsdecode(folder)} cannot be read: {error.strerror}") from None
