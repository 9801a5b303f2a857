"""The samples of a shard of a WebDataset: members that follow each other and share a key.

The key is a member's path up to the first dot of its file name, and what follows that dot, in lower case, is its
extension. Members without an extension, and hidden ones, belong to no sample. The format:
https://github.com/webdataset/webdataset
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from preparation.sources.archive_members import Extent, Member, read_members
from preparation.sources.folder import is_image
from preparation.sources.sample_labels import SampleLabels, sample_fault
from utils.errors import UserError

_MEMBER = re.compile(rb"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)  # key and extension
_LOOKED_AT = 64  # members
_MOST_OF_A_KEY = 256  # members, all of which are held at a time


class Sample(NamedTuple):
    """name: of the member that is the image; extent: where it lies in its shard."""

    name: bytes
    extent: Extent
    label: int


def read_samples(shard: Path, labels: SampleLabels) -> Iterator[Sample]:
    """The samples of one shard in its order. Other members than images and labels do not count.

    Raises:
        UserError: a sample has no image, several, no label or a faulty one; a key comes twice; and as `read_members`.
    """
    keys = array("q")  # hashes: a single shard may have millions
    with _opened(shard) as file:
        for key, members in _grouped(shard, read_members(shard)):
            keys.append(hash(key))
            images = [extension for extension in members if _is_picture(extension)]
            if len(images) != 1:
                raise _image_fault(shard, key, images or list(members), several=len(images) > 1)
            label = labels.read(shard, file.fileno(), key, members)
            yield Sample(key + b"." + images[0], members[images[0]], label)
    ordered = np.sort(np.array(keys, np.int64))
    same = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(same):
        _refuse_same_key(shard, set(same.tolist()))


def _opened(shard: Path) -> FileIO:
    try:
        return open(shard, "rb", buffering=0)
    except OSError as error:
        raise UserError(f"{shard} cannot be read: {error.strerror}.") from None


def holds_samples(archive: Path) -> bool:
    """Whether a .tar is a shard rather than people's folders, from its first members.

    An image with a .cls of its key, or with a .txt or .json beside it in no folder, makes it one. A .txt in somebody's
    folder does not: notes lie there too.

    Raises:
        UserError: it may be either; and as `read_members`.
    """
    kinds: dict[bytes, set[bytes]] = {}
    for member in islice(read_members(archive), _LOOKED_AT):
        key, extension = _split(member.name)
        kinds.setdefault(key, set()).add(extension)
    for key, found in kinds.items():
        if not any(map(_is_picture, found)):
            continue
        if b"cls" in found or (b"/" not in key and found & {b"txt", b"json"}):
            return True
        if b"json" in found:
            raise UserError(
                f"{archive} holds images in folders, and a .json beside them: say with --format archive that the "
                "folders are people, or with --format webdataset that the .json says who it is."
            )
    return False


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Key and extension of a member; both are empty where it belongs to no sample."""
    found = _MEMBER.fullmatch(name)
    hidden = b"/." in b"/" + name
    return (found[1], found[2].lower()) if found and not hidden else (b"", b"")


def _grouped(shard: Path, members: Iterable[Member]) -> Iterator[tuple[bytes, dict[bytes, Extent]]]:
    """Each key with its members by extension."""
    current, held = b"", dict[bytes, Extent]()
    for name, extent, _ in members:
        key, extension = _split(name)
        if not key:
            continue
        if key != current and held:
            yield current, held
            held = {}
        current = key
        if extension in held:
            raise sample_fault(shard, key, f"comes twice (two .{extension.decode(errors='replace')})")
        held[extension] = extent
        if len(held) > _MOST_OF_A_KEY:
            raise sample_fault(shard, key, f"has more than {_MOST_OF_A_KEY} members; a key ends at the first dot")
    if held:
        yield current, held


def _is_picture(extension: bytes) -> bool:
    return b"." not in extension and is_image(b"." + extension)


def _image_fault(shard: Path, key: bytes, extensions: list[bytes], several: bool) -> UserError:
    found = ", ".join("." + extension.decode(errors="replace") for extension in extensions[:4])
    if several:
        return sample_fault(shard, key, f"has several images ({found}); leave one")
    return sample_fault(shard, key, f"has no image (only {found}; a key ends at the first dot of the file's name)")


def _refuse_same_key(shard: Path, hashes: set[int]) -> None:
    """Raises UserError where keys of these hashes are the same; most often they are."""
    seen = set()
    for key, _ in _grouped(shard, read_members(shard)):
        if key in seen:
            raise sample_fault(shard, key, "comes twice, with other keys between")
        if hash(key) in hashes:
            seen.add(key)
