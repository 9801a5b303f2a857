"""Verification sets taken apart: every image of a `.bin` as a file, and the pairs as a list of `path path 0/1`."""

from dataclasses import dataclass
from pathlib import Path

from evaluation.bin_set import BinSet
from evaluation.make_bin import encode_png, image_suffix
from utils.errors import UserError
from utils.folders import new_folder
from utils.progress import Bar

IMAGES, FLIPPED, PAIRS = "images", "flipped", "pairs.txt"


@dataclass(frozen=True)
class Unpacked:
    """What was written."""

    images: int  # without mirror images
    pairs: int
    encoded: int  # images that were neither JPEG nor PNG and have become PNG


def unpack(path: Path, out: Path, flip: bool = False, force: bool = False) -> Unpacked:
    """Writes a set's images (of pair k numbers 2k and 2k + 1) and their list into the folder `out`, all or nothing.

    JPEG and PNG keep their bytes, other formats become PNG. flip: also the mirror images, as PNG. force: replace a
    folder that holds such a list. Raises UserError where the set is missing or damaged, an image does not decode or is
    not as large as the first, or `out` exists.
    """
    if not path.is_file():
        raise UserError(f"there is no verification set at {path}")
    images = BinSet.load(path)
    with new_folder(out, [path], force, PAIRS) as folder:
        (folder / IMAGES).mkdir()
        if flip:
            (folder / FLIPPED).mkdir()
        encoded = _write(images, folder, flip)
    return Unpacked(len(images), len(images.issame), encoded)


def _write(images: BinSet, folder: Path, flip: bool) -> int:
    names, encoded = [], 0
    digits = len(str(len(images) - 1))
    for number in Bar(range(len(images)), desc="Writing", unit="images"):
        rgb = images.decode(number, number + 1)[0]
        content = images.encoded(number)
        suffix = image_suffix(content)
        if not suffix:
            suffix, content = ".png", encode_png(rgb)
            encoded += 1
        names.append(f"{IMAGES}/{number:0{digits}}{suffix}")
        (folder / names[-1]).write_bytes(content)
        if flip:
            (folder / FLIPPED / f"{number:0{digits}}.png").write_bytes(encode_png(rgb[:, ::-1]))
    pairs = zip(names[::2], names[1::2], images.issame, strict=True)
    (folder / PAIRS).write_text("".join(f"{first} {second} {int(same)}\n" for first, second, same in pairs))
    return encoded
