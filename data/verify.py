"""Whether the parts of a set still hold what was written, looked at before a run: `verify_data`."""

import os
import struct
from pathlib import Path

import numpy as np

from data.manifest import Manifest, Part, read_index
from data.ofrecord import file_crc32, index_path, parse_record
from utils.errors import UserError
from utils.reading.images import image_size

WAYS = ("off", "headers", "full")
_LOOKED_AT = 16  # images of a part


def verify_parts(folder: Path, manifest: Manifest, way: str, rank: int = 0, ranks: int = 1) -> None:
    """Looks at this rank's share of the parts; each rank has others.

    way: "off": nothing beyond what `Manifest.check` compares; "headers": the first record of each part and the headers
    of 16 images of it, milliseconds a part; "full": the checksum of every byte, as quick as the disk reads.

    Raises:
        UserError: naming the first part that is damaged.
    """
    looks = {"off": lambda path, part, size: None, "headers": _look_at_headers, "full": _compare}[way]
    for part in manifest.parts[rank::ranks]:
        try:
            looks(folder / part.name, part, manifest.image_size)
        except OSError as error:
            raise UserError(f"{folder / part.name} cannot be read: {error.strerror}.") from None


def _compare(path: Path, part: Part, size: tuple[int, int]) -> None:
    """Also the sidecar, by the records' own framing: their labels are in no checksum of the manifest."""
    if file_crc32(path) != part.crc32:
        raise _damaged(path, "its checksum is not the one in dataset.json")
    index, at = read_index(index_path(path)), 0
    with open(path, "rb", buffering=1 << 20) as file:
        for number, entry in enumerate(index.tolist()):
            message = file.read(_length(file.read(8), part.bytes))
            if _parsed(message, at + 8) != entry:
                raise _damaged(path, f"its record {number} is not what its sidecar says")
            at += 8 + len(message)


def _look_at_headers(path: Path, part: Part, size: tuple[int, int]) -> None:
    index = read_index(index_path(path))
    chosen = np.unique(np.linspace(0, len(index) - 1, _LOOKED_AT).astype(int)).tolist()
    with open(path, "rb", buffering=0) as file:
        handle = file.fileno()
        first = os.pread(handle, _length(os.pread(handle, 8, 0), part.bytes), 8)
        if _parsed(first, 8) != index[0].tolist():
            raise _damaged(path, "its first record is not what its sidecar says")
        for number in chosen:
            offset, length, _ = index[number].tolist()
            stated = image_size(os.pread(handle, length, offset))
            if stated is None or stated[:2] != size:
                raise _damaged(path, f"its record {number} holds no image of {size[0]}x{size[1]} pixels")


def _length(stated: bytes, most: int) -> int:
    """The length of a record's message; 0 for one that cannot be."""
    length = struct.unpack("<q", stated)[0] if len(stated) == 8 else 0
    return length if 0 < length <= most else 0


def _parsed(message: bytes, at: int) -> tuple[int, int, int] | None:
    """(offset in the part, length, label) of a message that begins at byte `at`; None if it is none."""
    try:
        offset, length, label = parse_record(message, 0, len(message))
    except ValueError:
        return None
    return at + offset, length, label


def _damaged(path: Path, fault: str) -> UserError:
    return UserError(f"{path} is damaged: {fault}; copy or convert it again.")
