"""Encoded images, as each part of the project decodes them."""

import os
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from data.images import ImageChecker, decodes_cleanly, repair
from evaluation.make_bin import EncodedImages
from evaluation.sources import FileImages, decode_rgb
from preparation.align.photos import Unusable, read_photo
from preparation.inspect.duplicates import thumbnail
from tests.data.mxnet_sets import encode, picture
from tests.fuzz.format import Format
from utils.errors import UserError

MAX_PIXELS = 50_000_000  # tools/align_dataset.py's own bound is of this order


def make_images(folder: Path) -> None:
    pixels = picture(0)
    (folder / "a.jpg").write_bytes(encode(pixels))
    (folder / "progressive.jpg").write_bytes(encode(pixels, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1))
    (folder / "gray.jpg").write_bytes(encode(pixels[..., 0]))
    (folder / "alpha.png").write_bytes(encode(cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA), ".png"))
    for suffix in ("png", "bmp", "webp"):
        (folder / f"a.{suffix}").write_bytes(encode(pixels, f".{suffix}"))
    for path in folder.iterdir():  # what is whole is taken
        read_photo(os.fsencode(path), MAX_PIXELS)


def read_images(folder: Path) -> str:
    checker = ImageChecker()
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        verdict = checker.check(content, 0, len(content))
        decodes_cleanly(content)
        thumbnail(content)
        decode_rgb(np.frombuffer(content, np.uint8))
        if verdict.repairable:
            repair(content)
        with suppress(Unusable):
            read_photo(os.fsencode(path), MAX_PIXELS)
        try:
            EncodedImages(resize=True).read([path])
        except UserError as error:
            assert str(path) in str(error)
    names = sorted(path.name for path in folder.iterdir())
    FileImages(names, folder).decode(0, len(names))
    return ""


FORMATS = (
    Format(
        "images",
        (
            *("data.images", "evaluation.make_bin", "utils.reading.images", "preparation.align.photos"),
            *("preparation.inspect.duplicates", "preparation.inspect.table"),
        ),
        make_images,
        ("a.jpg", "progressive.jpg", "gray.jpg", "alpha.png", "a.png", "a.bmp", "a.webp"),
        read_images,
    ),
)
