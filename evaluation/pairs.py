"""Pair lists: text files of `path path 0/1` lines, 1 where both images are of one person."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.bin_set import BinSet
from evaluation.sources import FileImages, ImageSource, read_lines
from utils.errors import UserError
from utils.pixels import USUAL_SIZE

_FIELD = re.compile(r'"([^"]*)"(?=\s|$)|(\S+)')


@dataclass(frozen=True)
class Pairs:
    """Images, each once, and which of them make a pair."""

    images: ImageSource
    pairs: np.ndarray  # (pairs, 2) numbers of images
    issame: np.ndarray  # (pairs,) bool


def read_bin(path: Path) -> Pairs:
    """The pairs of an InsightFace set, each of images 2k and 2k + 1. Raises UserError as `BinSet.load`."""
    images = BinSet.load(path)
    return Pairs(images, np.arange(len(images)).reshape(-1, 2), images.issame)


def read_pairs(path: Path, root: Path | None = None, image_size: tuple[int, int] = USUAL_SIZE) -> Pairs:
    """The pairs of a list, whose paths are absolute or below `root` (default: the list's folder).

    Paths that hold blanks are in double quotes, or all of the line's fields are separated by tabs. image_size: of all
    images.

    Raises UserError, with the number of the line, where one is not `path path 0/1` or an image is missing.
    """
    numbers: dict[str, int] = {}  # of the images by their paths
    first_lines: list[int] = []
    pairs, issame = [], []
    for line_number, line in read_lines(path):
        *files, label = _fields(line)
        if len(files) != 2:
            raise UserError(
                f"{path}, line {line_number}: {len(files) + 1} field(s) instead of `path path 0/1`; "
                "paths that hold blanks go in double quotes, or tabs between the fields"
            )
        if label not in ("0", "1"):
            raise UserError(
                f"{path}, line {line_number}: the label is {label!r}; it must be 1 for one person or 0 for two"
            )
        pair = [numbers.setdefault(os.path.normpath(file), len(numbers)) for file in files]
        first_lines += [line_number] * (len(numbers) - len(first_lines))
        pairs.append(pair)
        issame.append(label == "1")
    if not pairs:
        raise UserError(f"{path} lists no pairs")
    images = FileImages(list(numbers), path.parent if root is None else root, path, first_lines, image_size)
    images.digest()  # finds the missing ones
    return Pairs(images, np.array(pairs), np.array(issame))


def _fields(line: str) -> list[str]:
    if "\t" in line:
        fields = [field.strip() for field in line.split("\t")]
        return [field[1:-1] if re.fullmatch('"[^"]*"', field) else field for field in fields]
    return [quoted or plain for quoted, plain in _FIELD.findall(line)]
