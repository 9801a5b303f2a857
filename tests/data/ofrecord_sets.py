"""Small OFRecord sets of drawn faces, made as a user makes them, and their records as OneFlow itself reads them."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import struct
from collections.abc import Sequence
from pathlib import Path

from data.drawn import USUAL, draw_face
from preparation.convert.to_ofrecord import Settings, convert
from tests.data.mxnet_sets import write_set


@functools.cache
def face(identity: int, image: int) -> bytes:
    """One JPEG of a drawn person."""
    return draw_face(0, identity, image, USUAL)


def faces(counts: Sequence[int], first: int = 0) -> tuple[list[bytes], list[int]]:
    """`counts[i]` images of the person `first + i`, whose label is i."""
    pairs = [(person, image) for person, count in enumerate(counts) for image in range(count)]
    return [face(first + person, image) for person, image in pairs], [person for person, _ in pairs]


def make_set(
    folder: Path,
    images: Sequence[bytes],
    labels: Sequence[int],
    num_classes: int,
    parts: int = 3,
    size: tuple[int, int] = (112, 112),
) -> Path:
    """Write recordio of images of `size` beside `folder` and convert it."""
    beside = folder.with_name(folder.name + "-recordio")
    source = write_set(beside, images, list(map(float, labels)), num_classes, size=size)
    convert(Settings(source, folder, num_part=parts))
    return folder


@functools.cache
def record_pb2():
    """OneFlow's own messages, without importing oneflow."""
    root = Path(importlib.util.find_spec("oneflow").submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("record_pb2", root / "core/record/record_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_records(folder: Path) -> list[tuple[int, bytes]]:
    """[(label, JPEG)] in the order of the parts, from the parts alone."""
    records = []
    for path in sorted(folder.glob("part-?????")):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<q", data, at)
            record = record_pb2().OFRecord.FromString(data[at + 8 : at + 8 + length])
            records.append((record.feature["label"].int32_list.value[0], record.feature["encoded"].bytes_list.value[0]))
            at += 8 + length
    return records


def digests(records: Sequence[tuple[int, bytes]]) -> dict[int, list[str]]:
    """The sorted SHA-256 of each label's images."""
    digests_of: dict[int, list[str]] = {}
    for label, image in records:
        digests_of.setdefault(label, []).append(hashlib.sha256(image).hexdigest())
    return {label: sorted(each) for label, each in digests_of.items()}


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
