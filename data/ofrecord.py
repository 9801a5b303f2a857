"""OFRecord part files: one record as bytes, a writer of parts, and a careful reader of parts that others wrote.

A part is `part-%05d`: for each record a little-endian int64 length, then a serialized `OFRecord` message with the
features `encoded` (bytes_list, one JPEG) and `label` (int32_list, one int). Its sidecar `part-%05d.index.npy` is an
array of `INDEX_DTYPE`, with which a JPEG is read without parsing anything.
"""

from __future__ import annotations

import functools
import io
import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.images import ImageChecker, Verdict
from data.protobuf import Bytes, integers, submessages, varint
from data.storage import NewFile, write_file
from utils.errors import UserError
from utils.pixels import USUAL_SIZE, size_words

# Where each record's JPEG lies inside its part (bytes from the part's start), and its label.
INDEX_DTYPE = np.dtype([("offset", "<i8"), ("length", "<i4"), ("label", "<i4")])

_FLUSH = 1 << 20  # bytes written, or read without being parsed, together
_BLOCK = 4 << 20  # bytes scanned together; the temporaries then stay in the cache
_MAX_MESSAGE = 1 << 30  # bytes; a longer record is a damaged length


def part_name(number: int) -> str:
    """The name of part `number` (from 0), as `OFRecordReader(part_name_suffix_length=5)` looks for it."""
    return f"part-{number:05d}"


def index_path(part: Path) -> Path:
    """The sidecar of a part file."""
    return part.with_name(part.name + ".index.npy")


def frame_record(image_length: int, label: int) -> tuple[bytes, bytes]:
    """The bytes before and after a JPEG of `image_length` bytes that make it a record, length field included.

    Equal to protobuf's deterministic serialization (map keys in order). `label` is at least 0.
    """
    head, tail = _image_head(image_length), _label_entry(label)
    return struct.pack("<q", len(head) + image_length + len(tail)) + head, tail


@functools.lru_cache(maxsize=1 << 16)
def _image_head(length: int) -> bytes:
    """What comes before the image's bytes in `OFRecord.feature["encoded"].bytes_list.value[0]`."""
    value = b"\x0a" + varint(length)  # BytesList.value
    feature = b"\x0a" + varint(len(value) + length) + value  # Feature.bytes_list
    entry = b"\x0a\x07encoded\x12" + varint(len(feature) + length) + feature  # the map entry's key and value
    return b"\x0a" + varint(len(entry) + length) + entry  # OFRecord.feature


@functools.lru_cache(maxsize=1 << 16)
def _label_entry(label: int) -> bytes:
    """`OFRecord.feature["label"].int32_list.value[0]`."""
    packed = varint(label)
    value = b"\x0a" + varint(len(packed)) + packed  # Int32List.value
    feature = b"\x22" + varint(len(value)) + value  # Feature.int32_list
    entry = b"\x0a\x05label\x12" + varint(len(feature)) + feature
    return b"\x0a" + varint(len(entry)) + entry


def parse_record(data: Bytes, start: int, end: int) -> tuple[int, int, int]:
    """Parse the `OFRecord` message `data[start:end]`, whoever wrote it.

    Returns:
        Where in `data` the image begins, its length in bytes, and the label.

    Raises:
        ValueError: what is wrong with the message, in words.
    """
    features: dict[bytes, tuple[int, int]] = {}
    for _, entry_start, entry_end in submessages(data, start, end, 1):
        name, value = b"", None
        for number, a, b in submessages(data, entry_start, entry_end):
            if number == 1:
                name = data[a:b]
            elif number == 2:
                value = (a, b)
        if name in features:
            raise ValueError(f"has two features '{name.decode(errors='replace')}'")
        if value:
            features[name] = value
    images = [
        (a, b)
        for _, list_start, list_end in submessages(data, *_feature(features, b"encoded"), 1)
        for _, a, b in submessages(data, list_start, list_end, 1)
    ]
    if len(images) != 1:
        raise ValueError(f"holds {len(images)} images in its feature 'encoded', not one")
    labels = [
        label
        for number, list_start, list_end in submessages(data, *_feature(features, b"label"))
        if number in (4, 5)  # int32_list, int64_list
        for label in integers(data, list_start, list_end)
    ]
    if len(labels) != 1:
        raise ValueError(f"holds {len(labels)} integers in its feature 'label', not one")
    (image_start, image_end), (label,) = images[0], labels
    return image_start, image_end - image_start, label


class PartWriter:
    """Writes one part and its sidecar; both have their names only after `commit`. A context manager.

    Leaving the context without `commit` removes what was written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = NewFile(path)
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._index = array("q")  # offset, length, label of each record
        self.bytes = 0
        self.crc32 = 0

    def __enter__(self) -> PartWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)

    def add(self, image: bytes, label: int) -> None:
        """Append one record: a JPEG and its label (0 to 2**31 - 1)."""
        head, tail = frame_record(len(image), label)
        self._index.extend((self.bytes + len(head), len(image), label))
        self._pending += (head, image, tail)
        length = len(head) + len(image) + len(tail)
        self.bytes += length
        self._pending_bytes += length
        if self._pending_bytes >= _FLUSH:
            self._flush()

    def commit(self) -> None:
        """Give sidecar and part their own names, the part last; what has a name is on the disk."""
        self._flush()
        columns = np.array(self._index).reshape(-1, 3).T
        index = np.empty(columns.shape[1], INDEX_DTYPE)
        index["offset"], index["length"], index["label"] = columns
        write_index(self._path, index)
        self._file.commit()

    def _flush(self) -> None:
        chunk = b"".join(self._pending)
        self.crc32 = zlib.crc32(chunk, self.crc32)
        self._file.write(chunk)
        self._pending, self._pending_bytes = [], 0


def file_crc32(path: Path) -> int:
    """The CRC-32 of a file's bytes."""
    crc32 = 0
    with path.open("rb") as file:
        while chunk := file.read(_FLUSH):
            crc32 = zlib.crc32(chunk, crc32)
    return crc32


def write_index(part: Path, index: np.ndarray) -> None:
    """Write the sidecar of `part`: (records,) of `INDEX_DTYPE`; atomic."""
    content = io.BytesIO()
    np.save(content, index)
    write_file(index_path(part), content.getbuffer())


def scan_part(path: Path, num_classes: int | None = None, image_size: tuple[int, int] = USUAL_SIZE) -> np.ndarray:
    """Parse every record of a part and judge every image by its header.

    Args:
        path: a part file, by whatever tool.
        num_classes: labels must lie in [0, num_classes); None: any label from 0 on.
        image_size: height and width of all images.

    Returns:
        (records,) of `INDEX_DTYPE`.

    Raises:
        UserError: the first record that the native reader or the training would not survive; records count from 0.
    """
    checker = ImageChecker(image_size)
    highest = (1 << 31) - 1 if num_classes is None else num_classes - 1
    indices: list[np.ndarray] = []
    done = 0
    for position, block, records in _record_blocks(path):
        index = np.empty(len(records), INDEX_DTYPE)
        for i, (start, end) in enumerate(records):
            try:
                image, length, label = parse_record(block, start, end)
            except ValueError as error:
                raise UserError(f"Record {done + i} of {path} {error}.") from None
            if not 0 <= label <= highest:
                raise UserError(
                    f"Record {done + i} of {path} has the label {label}, but labels must lie in [0, {highest}]."
                )
            verdict = checker.check(block, image, image + length)
            if verdict is not Verdict.GOOD:
                raise UserError(
                    f"Record {done + i} of {path} holds an image that is {verdict.reason(image_size)}; the native "
                    f"reader needs {size_words(image_size)} color JPEGs, so convert the set again from its images."
                )
            index[i] = (position + image, length, label)
        indices.append(index)
        done += len(index)
    if not done:
        raise UserError(f"{path} holds no record.")
    return np.concatenate(indices)


def _record_blocks(path: Path) -> Iterator[tuple[int, bytes, list[tuple[int, int]]]]:
    """Yield (block's position in the file, block, [(start, end) in the block of each message that is whole in it])."""
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        position, number, want = 0, 0, _BLOCK
        while position < size:
            block = os.pread(file.fileno(), want, position)
            records: list[tuple[int, int]] = []
            at, want = 0, _BLOCK
            while at < len(block):
                left = size - position - at - 8
                if left >= 0 and at + 8 > len(block):
                    break
                length = struct.unpack_from("<q", block, at)[0] if left >= 0 else 0
                if left >= 0 and not 0 < length <= _MAX_MESSAGE:
                    raise UserError(f"Record {number + len(records)} of {path} has a bad length ({length} bytes).")
                if length > left:
                    raise UserError(
                        f"{path} is cut short: record {number + len(records)} goes past the file's end ({size} bytes)."
                    )
                if at + 8 + length > len(block):
                    want = max(_BLOCK, 8 + length)
                    break
                records.append((at + 8, at + 8 + length))
                at += 8 + length
            if records:
                yield position, block, records
            position += at
            number += len(records)


def _feature(features: dict[bytes, tuple[int, int]], name: bytes) -> tuple[int, int]:
    if name not in features:
        raise ValueError(f"has no feature '{name.decode()}'")
    return features[name]
