"""Named tensors in a safetensors file: written in a stream, read by slices, never unpickled."""

import json
import os
import zlib
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import safe_open

from utils.errors import UserError
from utils.files import refuse_pipe
from utils.reading.faults import broken_file

_CODES = {
    "float32": "F32",
    "float16": "F16",
    "float64": "F64",
    "int64": "I64",
    "int32": "I32",
    "uint16": "U16",
    "uint8": "U8",
}
_CHUNK = 1 << 24  # bytes
SEAL = "crc32"  # the metadata's key of a checksum
_FAULT = "is not a whole safetensors file"


def write_tensors(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None, sealed: bool = False
) -> dict:
    """Writes `tensors` to `path` and syncs it to disk; returns the file's ``{"bytes": size, "crc32": checksum}``.

    sealed: its own metadata have a checksum too, of all that it holds beside them, which `read_tensors` compares.

    The safetensors library's own writer first copies every tensor; this one needs no memory but a chunk, so that a
    rank's shard of class centers can be saved wherever it could be trained. Raises OSError.
    """
    arrays = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    about, end, header = dict(metadata or {}), 0, {}
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        header[name] = {"dtype": _CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": [start, end]}
    if sealed:
        about[SEAL] = _seal(arrays)
    text = json.dumps({"__metadata__": about} | header if about else header).encode()
    text += b" " * (-len(text) % 8)
    checksum = size = 0
    with open(path, "wb") as file:
        blocks: list[bytes | memoryview] = [len(text).to_bytes(8, "little"), text]
        blocks += [_bytes_of(array) for array in arrays.values() if array.nbytes]
        for block in blocks:
            for at in range(0, len(block), _CHUNK):
                chunk = block[at : at + _CHUNK]
                checksum = zlib.crc32(chunk, checksum)
                size += file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": size, "crc32": checksum}


def _bytes_of(array: np.ndarray) -> memoryview:
    """Its memory, if that is contiguous."""
    return array.reshape(-1).view(np.uint8).data


def _seal(arrays: Mapping[str, np.ndarray]) -> str:
    """A checksum of names, types, shapes and numbers, whatever the order of the tensors."""
    checksum = 0
    for name, array in sorted(arrays.items()):
        checksum = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), checksum)
        checksum = zlib.crc32(_bytes_of(np.ascontiguousarray(array)), checksum)
    return f"{checksum:08x}"


@contextmanager
def open_tensors(path: Path):
    """The file as safetensors' reader (`keys()`, `get_tensor(name)`, `get_slice(name)[a:b]`, `metadata()`), NumPy.

    Raises UserError, naming the file, where it is missing or not a whole safetensors file.
    """
    refuse_pipe(path)
    try:
        with broken_file(path, _FAULT), safe_open(str(path), framework="numpy") as file:
            yield file
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None


def tensor_shape(path: Path, name: str) -> tuple[int, ...] | None:
    """Of one of the file's tensors; None where there is none of that name. Raises as `open_tensors`."""
    with open_tensors(path) as file:
        return tuple(file.get_slice(name).get_shape()) if name in file.keys() else None  # noqa: SIM118


def tensor_type(path: Path, name: str) -> np.dtype:
    """Of a tensor that is there. Raises as `open_tensors`."""
    with open_tensors(path) as file:
        return file.get_slice(name)[:0].dtype


def read_rows(path: Path, name: str, start: int, out: np.ndarray) -> None:
    """Fills `out` (n, ...) with the rows from `start` on of one tensor of a file that is known to be whole.

    Nothing else is read or held: the safetensors library maps the file, and what it has touched counts as our memory.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        begin = json.loads(file.read(length))[name]["data_offsets"][0]
        file.seek(8 + length + begin + start * out[:1].nbytes)
        if file.readinto(_bytes_of(out)) != out.nbytes:
            raise UserError(f"{path} became shorter while it was read")


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of the file. Raises as `open_tensors`, and if a sealed file holds other numbers than were sealed."""
    with open_tensors(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        seal = (file.metadata() or {}).get(SEAL)
    if seal is not None and seal != _seal(tensors):
        raise UserError(f"{path} {_FAULT}: its checksum is another one; copy it again, or take another model")
    return tensors
