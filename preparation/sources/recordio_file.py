"""MXNet recordio as InsightFace writes it: `train.rec`, `train.idx` and `property`, read without mxnet.

A chunk of a .rec file is `<II` (magic, cflag << 29 | length) and `length` bytes, padded to 4. A record is one chunk
(cflag 0), or several (1, 2, ..., 3) where its payload held the magic, which then has to be put back between them. The
payload is `<IfQQ` (flag, label, id, id2), `flag` float32 labels where flag > 0, and the image.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.storage import RangeReader, local_file
from preparation.sources.source import DAMAGED, ENTRY_DTYPE, LABELS_ONLY, PLAIN, SPLIT
from utils.errors import UserError
from utils.files import refuse_pipe

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
CHUNK = struct.Struct("<II")
HEADER = struct.Struct("<IfQQ")
_FRONT_DTYPE = np.dtype([("magic", "<u4"), ("frame", "<u4"), ("flag", "<u4"), ("label", "<f4")])  # a record's start
_BLOCK = 1 << 20  # bytes read together: enough for few system calls, little enough for the cache
_MAX_RECORD = 1 << 30  # bytes


@dataclass(frozen=True)
class Index:
    """A .idx file in the order of its .rec: keys, and where each record begins and ends; (N,) int64 each."""

    keys: np.ndarray
    offsets: np.ndarray
    ends: np.ndarray

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, some: slice) -> Index:
        return Index(self.keys[some], self.offsets[some], self.ends[some])


def read_property(path: Path) -> tuple[int, tuple[int, int]]:
    """The number of classes and the images' (height, width) from a `property` file.

    Raises:
        UserError: it is missing or not `num_classes,height,width`.
    """
    refuse_pipe(path)
    try:
        classes, height, width = map(int, path.read_text().split(","))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError:
        raise UserError(f"{path} must hold 'num_classes,height,width', such as 85742,112,112.") from None
    if min(classes, height, width) < 1:
        raise UserError(f"{path} must hold three positive numbers (num_classes,height,width).")
    return classes, (height, width)


def read_index(idx: Path, rec: Path) -> Index:
    """Read `idx`, whose records are taken to fill `rec` without a gap.

    Raises:
        UserError: a file is missing or empty, `idx` is malformed, or it points past the end of `rec`.
    """
    for path in (idx, rec):
        refuse_pipe(path)
    try:
        size = rec.stat().st_size
        with rec.open("rb"), local_file(idx) as copy, open(copy, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # NumPy's way to say that text is not a number
            numbers = np.fromfile(file, np.int64, sep=" ")
    except OSError as error:
        raise UserError(f"{error.filename or idx} cannot be read: {error.strerror or error}.") from None
    except (DeprecationWarning, ValueError):
        raise UserError(f"{idx} is not an index of recordio: each line must be 'key<tab>offset'.") from None
    if size == 0:
        raise UserError(f"{rec} is empty.")
    if len(numbers) == 0 or len(numbers) % 2:
        raise UserError(f"{idx} is empty or cut short: each line must be 'key<tab>offset'.")
    keys, offsets = numbers[0::2], numbers[1::2]
    order = np.argsort(offsets, kind="stable")
    keys, offsets = keys[order], offsets[order]
    if offsets[-1] >= size:
        raise UserError(
            f"{idx} points at byte {offsets[-1]} but {rec} ends at byte {size}: it is truncated, or they do not belong "
            "together."
        )
    if offsets[0] != 0 or (np.diff(offsets) <= 0).any() or keys.min() < 0 or len(np.unique(keys)) < len(keys):
        raise UserError(f"{idx} does not match {rec}: it must list each record of it once, from byte 0 on.")
    return Index(keys, offsets, np.append(offsets[1:], size))


def scan(rec: Path, index: Index) -> Iterator[tuple[int, bytes, np.ndarray, list[bytes]]]:
    """Read the records of `index`, in its order, and check their framing.

    Yields:
        Blocks of records: the block's first byte in `rec`; its bytes; (N,) of `ENTRY_DTYPE` with offsets *in the block*
        and no verdicts; and the images of its SPLIT records, in order.

    Raises:
        UserError: `rec` is truncated, damaged, or not what `index` describes.
    """
    with RangeReader(rec) as file:
        first = 0
        while first < len(index):
            begin = int(index.offsets[first])
            last = max(first + 1, int(np.searchsorted(index.ends, begin + _BLOCK, side="right")))
            part = index[first:last]
            if part.ends[-1] - begin > _MAX_RECORD:
                raise _mismatch(rec, part.keys[0], begin)
            block = file.read(begin, int(part.ends[-1]) - begin)
            if len(block) < part.ends[-1] - begin:
                raise UserError(f"{rec} is truncated: it ends before byte {part.ends[-1]}.")
            yield (begin, block, *_parse_block(rec, block, begin, part))
            first = last


def join_chunks(record: bytes) -> bytes:
    """The payload of a whole record, framing removed.

    Raises:
        ValueError: the chunks are damaged or do not fill `record` exactly.
    """
    pieces, at, cflag = [], 0, 0
    while at < len(record):
        magic, frame = CHUNK.unpack_from(record, at) if at + 8 <= len(record) else (0, 0)
        cflag, length = frame >> 29, frame & (1 << 29) - 1
        if magic != MAGIC or at + 8 + length > len(record) or (cflag in (0, 1)) != (at == 0):
            raise ValueError("damaged chunks")
        pieces.append(record[at + 8 : at + 8 + length])
        at += 8 + (length + 3 & ~3)
    if cflag not in (0, 3) or (cflag == 0) != (len(pieces) == 1):
        raise ValueError("damaged chunks")
    return MAGIC_BYTES.join(pieces)


def unpack(payload: bytes) -> tuple[int, list[float], bytes]:
    """The flag, the labels (one, or `flag` of them) and the image of a payload.

    Raises:
        ValueError: it is shorter than its header says.
    """
    if len(payload) < HEADER.size:
        raise ValueError("the record's header is cut short")
    flag, label, _, _ = HEADER.unpack_from(payload)
    if flag == 0:
        return 0, [label], payload[HEADER.size :]
    start = HEADER.size + 4 * flag
    if len(payload) < start:
        raise ValueError("the record's labels are cut short")
    return flag, list(struct.unpack_from(f"<{flag}f", payload, HEADER.size)), payload[start:]


def _parse_block(rec: Path, block: bytes, begin: int, part: Index) -> tuple[np.ndarray, list[bytes]]:
    """Entries and split images of the records of `part`, which fill `block`, read at byte `begin`."""
    data, at = np.frombuffer(block, np.uint8), part.offsets - begin
    fronts = _gather(data, at, _FRONT_DTYPE)
    lengths, extents = (fronts["frame"] & (1 << 29) - 1).astype(np.int64), part.ends - part.offsets
    cflags, flags = fronts["frame"] >> 29, fronts["flag"].astype(np.int64)
    wrong = (fronts["magic"] != MAGIC) | (cflags > 1) | (extents < 8)
    wrong |= (cflags == 0) & (8 + (lengths + 3 & ~3) != extents)
    if wrong.any():
        bad = int(np.flatnonzero(wrong)[0])
        raise _mismatch(rec, part.keys[bad], part.offsets[bad])

    entries = np.zeros(len(part), ENTRY_DTYPE)
    header = HEADER.size + 4 * flags
    first_labels = _gather(data, at + CHUNK.size + HEADER.size, np.dtype("<f4"))
    entries["key"] = part.keys
    entries["offset"] = at + CHUNK.size + header
    entries["label"] = np.where(flags > 0, first_labels, fronts["label"])
    entries["kind"] = PLAIN
    entries["kind"][(flags == 2) & (lengths == header)] = LABELS_ONLY
    damaged = lengths < header
    entries["kind"][damaged] = DAMAGED
    entries["length"] = np.where(damaged, 0, lengths - header)

    images = []
    for i in np.flatnonzero(cflags == 1).tolist():
        try:
            payload = join_chunks(block[at[i] : at[i] + extents[i]])
        except ValueError:
            raise _mismatch(rec, part.keys[i], part.offsets[i]) from None
        try:
            _, labels, image = unpack(payload)
        except ValueError:
            labels, image = [0.0], None
        entries[i] = (part.keys[i], at[i], extents[i], labels[0], DAMAGED if image is None else SPLIT, 0)
        if image is not None:
            images.append(image)
    return entries, images


def _gather(data: np.ndarray, at: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(N,) of `dtype` at the bytes `at`; what lies past the end of `data` is arbitrary (such records are DAMAGED)."""
    return data[np.minimum(at[:, None] + np.arange(dtype.itemsize), len(data) - 1)].view(dtype).ravel()


def _mismatch(rec: Path, key: int, offset: int) -> UserError:
    return UserError(
        f"{rec} does not hold the record {key} of its .idx at byte {offset} (bad magic or length): "
        "it is truncated or damaged, or the two do not belong together."
    )
