"""Where the images of an embedding pass come from: folders, list files, OFRecord, `.bin` sets, crops with landmarks.

Every source has `len()`, `image_size`, the height and width of all its images, `decode(start, stop)` -> (n, H, W, 3)
uint8 RGB, `name(i)`, and `digest()`, by which a pass that goes on later knows that the images are still the same.
Decoding is safe in several threads at once.
"""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from data.manifest import MANIFEST_NAME, Manifest, read_index
from data.ofrecord import index_path
from evaluation.align import align
from evaluation.bin_set import BinSet
from utils.errors import UserError
from utils.files import digest_of
from utils.pixels import USUAL_SIZE, size_words
from utils.reading.faults import shown
from utils.reading.images import decode
from utils.reading.limits import limits
from utils.reading.lines import byte_lines

_LISTED = re.compile(r'(?:"([^"]+)"(?=\s|$)|([^\t]+)(?=\t)|([^ ]+))(.*)')
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class ImageSource(Protocol):
    @property
    def image_size(self) -> tuple[int, int]: ...

    def __len__(self) -> int: ...

    def decode(self, start: int, stop: int) -> np.ndarray:
        """Images start ... stop - 1, (stop - start, *image_size, 3) uint8 RGB. Raises UserError naming a bad one."""

    def name(self, number: int) -> str:
        """What a person would call the image."""

    def digest(self) -> str:
        """Differs where the images do. Raises UserError naming a file that is missing."""


class FileImages:
    """Images in files of their own.

    files: paths, absolute or below `root`; they are the names too. list_file and lines say where a file was listed,
    so that a bad one is found there. image_size: that all of them have; it is stated, and not taken from the first,
    because files of one size may as well be photographs that were never aligned.
    """

    def __init__(
        self,
        files: Sequence[str],
        root: Path = Path(),
        list_file: Path | None = None,
        lines: Sequence[int] = (),
        image_size: tuple[int, int] = USUAL_SIZE,
    ) -> None:
        self.files, self.root, self.image_size = files, root, image_size
        self._list_file, self._lines = list_file, lines

    def __len__(self) -> int:
        return len(self.files)

    def name(self, number: int) -> str:
        return self.files[number]

    def decode(self, start: int, stop: int) -> np.ndarray:
        pixels = np.empty((len(self.files[start:stop]), *self.image_size, 3), np.uint8)
        for offset in range(len(pixels)):
            pixels[offset] = self._face(start + offset)
        return pixels

    def digest(self) -> str:
        """Of the names, sizes and times of change of the files."""
        return digest_of(self._stamps())

    def _face(self, number: int) -> np.ndarray:
        """(*image_size, 3) uint8 RGB."""
        image = self._read(number)
        if image.shape[:2] != self.image_size:
            wanted = f"not {size_words(self.image_size)} (height x width) as aligned faces are"
            raise UserError(f"{self._where(number)} is {size_words(image.shape)} pixels, {wanted}")
        return image

    def _read(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return read_image(self.root / self.files[number], self._listed(number))

    def _stamps(self) -> Iterable[bytes]:
        for number, file in enumerate(self.files):
            try:
                about = os.stat(self.root / file)
            except OSError as error:
                raise UserError(f"{self._where(number)} cannot be read: {error.strerror}") from None
            if not stat.S_ISREG(about.st_mode):
                raise UserError(f"{self._where(number)} cannot be read: it is no regular file")
            yield os.fsencode(f"{file}\0{about.st_size} {about.st_mtime_ns}\n")

    def _where(self, number: int) -> str:
        return f"{self._listed(number)}{self.root / self.files[number]}"

    def _listed(self, number: int) -> str:
        return f"{self._list_file}, line {self._lines[number]}: " if self._list_file else ""


class FolderImages(FileImages):
    """The images in a folder and all folders in it, in the order of their paths; names with a leading dot are left out.

    Links are followed, but for those that lead back to where they were met. Raises UserError where there is no image.
    """

    def __init__(self, folder: Path, image_size: tuple[int, int] = USUAL_SIZE) -> None:
        if not folder.is_dir():
            raise UserError(f"there is no folder of images at {folder}")
        files = []
        for path, folders, names in os.walk(folder, followlinks=True):
            folders[:] = [
                name for name in folders if not name.startswith(".") and not _leads_back(os.path.join(path, name))
            ]
            files += [
                os.path.relpath(os.path.join(path, name), folder)
                for name in names
                if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")
            ]
        if not files:
            raise UserError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
        super().__init__(sorted(files), folder, image_size=image_size)


class ListedImages(FileImages):
    """The images of a list file: a path a line, absolute or below `root` (default: the list's folder).

    What follows a path is in `columns`, a list of words for each image. The path ends at the first tab or, in a line
    without one, at the first blank; one that holds blanks goes in double quotes. Empty lines do not count.

    Raises UserError where the list cannot be read.
    """

    def __init__(self, list_file: Path, root: Path | None = None, image_size: tuple[int, int] = USUAL_SIZE) -> None:
        files, lines, self.columns = [], [], []
        for number, line in read_lines(list_file, "surrogateescape"):
            [(quoted, tabbed, plain, rest)] = _LISTED.findall(line)
            files.append(quoted or tabbed or plain)
            lines.append(number)
            self.columns.append(rest.split())
        if not files:
            raise UserError(f"{list_file} lists no images")
        super().__init__(files, list_file.parent if root is None else root, list_file, lines, image_size)


class LandmarkedImages(FileImages):
    """Faces cut loosely, aligned by their landmarks, (N, 5, 2) in pixels of each image, as IJB's are."""

    def __init__(self, files: Sequence[str], landmarks: np.ndarray, *where, **listed) -> None:
        """files and what follows the landmarks: as in FileImages."""
        if landmarks.shape != (len(files), 5, 2):
            raise ValueError(f"landmarks {landmarks.shape} for {len(files)} images")
        super().__init__(files, *where, **listed)
        self.landmarks = landmarks

    def _face(self, number: int) -> np.ndarray:
        image = self._read(number)
        try:
            return align(image, self.landmarks[number], self.image_size)
        except UserError as error:
            raise UserError(f"{self._where(number)}: {error}") from None

    def _stamps(self) -> Iterable[bytes]:
        yield from super()._stamps()
        yield np.ascontiguousarray(self.landmarks).tobytes()
        if self.image_size != USUAL_SIZE:  # passes that were begun before there were others go on
            yield size_words(self.image_size).encode()


class RecordImages:
    """The images of a converted dataset (`dataset.json`, parts and their indices), in the order of the parts.

    Raises UserError for what `Manifest.check` finds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = Manifest.load(folder)
        manifest.check(folder)
        self._parts, self.image_size = manifest.parts, manifest.image_size
        self._starts = np.cumsum([0, *(part.records for part in self._parts)])
        self._index = [read_index(index_path(folder / part.name)) for part in self._parts]
        self._bytes = [np.memmap(folder / part.name, np.uint8, "r") for part in self._parts]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def name(self, number: int) -> str:
        part, record = self._place(number)
        return f"record {record} of {self._parts[part].name}"

    def decode(self, start: int, stop: int) -> np.ndarray:
        pixels = np.empty((min(stop, len(self)) - start, *self.image_size, 3), np.uint8)
        for offset in range(len(pixels)):
            part, record = self._place(start + offset)
            first, length, _ = self._index[part][record].tolist()
            image = decode_rgb(self._bytes[part][first : first + length])
            if image is None or image.shape[:2] != self.image_size:
                raise UserError(
                    f"{self.name(start + offset)} in {self.folder} is not a {size_words(self.image_size)} image that "
                    "decodes; convert the dataset again with --verify"
                )
            pixels[offset] = image
        return pixels

    def digest(self) -> str:
        """Of the parts' names and checksums, as dataset.json has them."""
        return digest_of(f"{part.name} {part.crc32}\n".encode() for part in self._parts)

    def _place(self, number: int) -> tuple[int, int]:
        part = int(np.searchsorted(self._starts, number, side="right")) - 1
        return part, number - int(self._starts[part])


def open_source(path: Path, root: Path | None = None, image_size: tuple[int, int] | None = None) -> ImageSource:
    """The images at `path`: a `.bin` set, a converted dataset's folder, a folder of images, or a list file.

    root: what the list's paths are relative to; default: its folder. image_size: of the images; None: as a set says
    itself, and 112x112 of a folder or list. Raises UserError where there is no such thing, or a set of another size.
    """
    if not path.is_dir() and not path.is_file():
        raise UserError(f"there is neither a folder nor a file at {path}")
    is_bin = path.is_file() and path.suffix == ".bin"
    if is_bin or (path / MANIFEST_NAME).exists():
        source = BinSet.load(path) if is_bin else RecordImages(path)
        if image_size not in (None, source.image_size):
            said = size_words(source.image_size)
            raise UserError(f"{path} holds {said} images, not {size_words(image_size)}; leave out --image_size")
        return source
    if path.is_dir():
        return FolderImages(path, image_size or USUAL_SIZE)
    return ListedImages(path, root, image_size or USUAL_SIZE)


def read_image(path: Path, where: str = "") -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright as EXIF data say.

    Raises UserError naming the file, after `where` it was listed, if it is no image.
    """
    try:
        encoded = np.fromfile(path, np.uint8) if path.stat().st_size <= limits().image_bytes else None
    except OSError as error:
        raise UserError(f"{where}{path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{where}{shown(path)} is no name of a file") from None
    if encoded is None:
        raise UserError(f"{where}{path} is too large for an image (--limit image_bytes={limits().image_bytes})")
    image = decode_rgb(encoded)
    if image is None:
        raise UserError(f"{where}{path} is no image that decodes")
    return image


def decode_rgb(encoded: np.ndarray) -> np.ndarray | None:
    """An encoded image, (bytes,) uint8, as (H, W, 3) uint8 RGB, a gray one too; None where it does not decode, or asks
    for too much memory.
    """
    return decode(encoded, cv2.IMREAD_COLOR_RGB)


def read_lines(file: Path, errors: str = "strict") -> Iterable[tuple[int, str]]:
    """The lines of a UTF-8 text file with their numbers, from 1, without the empty ones. Raises UserError.

    errors: "surrogateescape" lets through what is not UTF-8, as names of files may be, and as `os.fsdecode` has it.
    """
    for number, content in byte_lines(file):
        try:
            line = content.decode("utf-8-sig" if number == 1 else "utf-8", errors).strip()
        except UnicodeDecodeError:
            line = "\0"
        if "\0" in line:
            raise UserError(f"{file} is not a text file in UTF-8")
        if line:
            yield number, line


def _leads_back(folder: str) -> bool:
    """Whether a folder is a link to one of the folders on the way to it: a loop."""
    if not os.path.islink(folder):
        return False
    target, way = os.path.realpath(folder), Path(folder).absolute().parents
    return any(os.path.realpath(above) == target for above in way)
