"""What kind of file weights are in, by its first bytes, and the tensors in it."""

from pathlib import Path

import numpy as np

from deploy.importing.mxnet_file import LIST_MAGIC, read_params
from deploy.torch_weights import read_torch_weights
from utils.errors import UserError
from utils.tensor_file import read_tensors

TORCH, MXNET, SAFETENSORS, ONNX = "torch", "MXNet", "safetensors", "ONNX"
_BEGINNINGS = {b"PK\x03\x04": TORCH, b"\x80": TORCH, LIST_MAGIC: MXNET, b"\x08": ONNX}
_OTHERS = {
    b"\x89HDF": "an HDF5 file, as Keras writes; make an ONNX model of it with tf2onnx",
    b"version https://git-lfs": "a pointer of Git LFS in place of the file; fetch that with `git lfs pull`",
    b"<": "a web page in place of the file; download it again",
}


def kind_of(path: Path) -> str:
    """TORCH, MXNET, SAFETENSORS or ONNX. Raises UserError if the file is missing or of another kind."""
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    with path.open("rb") as file:
        head = file.read(32)
    if len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return SAFETENSORS
    for beginning, kind in _BEGINNINGS.items():
        if head.startswith(beginning):
            return kind
    what = next((what for beginning, what in _OTHERS.items() if head.startswith(beginning)), None)
    raise UserError(f"{path} is {what or 'no file of torch, MXNet, safetensors or ONNX'}")


def read_named(path: Path, kind: str, torch_python: str) -> dict[str, np.ndarray]:
    """The tensors by name, floating ones as float32. Raises UserError if the file is damaged."""
    if kind == TORCH:
        return read_torch_weights(path, torch_python)
    if kind == MXNET:  # such as `arg:conv0_weight`
        tensors = {name.partition(":")[2] or name: array for name, array in read_params(path).items()}
    else:
        tensors = read_tensors(path)
    return {
        name: array.astype(np.float32, copy=False) if np.issubdtype(array.dtype, np.floating) else array
        for name, array in tensors.items()
    }
