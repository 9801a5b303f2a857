"""What stands in for the functions that pickles of arrays name; none of them runs what it is called with."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from utils.reading.faults import shown

_KINDS = {"u1": np.uint8, "b1": np.bool_, "i8": np.int64}


class Unreadable(ValueError):
    """The pickle is damaged, or asks for what no set of images needs."""


@dataclass
class Function:
    """A name in a pickle that stands for one of the functions here."""

    name: str
    call: Callable[[tuple], Any]


@dataclass
class Kind:
    """In place of a dtype: the bytes of one number and its kind, such as "u1"."""

    code: str


@dataclass
class Array:
    """In place of an array whose state comes later."""

    value: np.ndarray | None = None


def plain(value: Any) -> Any:
    """The array that an `Array` has become; None if it never was given its content."""
    return value.value if isinstance(value, Array) else value


def _shape_and_kind(shape: Any, kind: Any, content: bytes | None) -> tuple[tuple[int, ...], type]:
    """Checked: of bytes that are there."""
    shape = (shape,) if type(shape) is int else shape
    if not isinstance(kind, Kind) or type(shape) is not tuple or not all(type(side) is int for side in shape):
        raise Unreadable("it holds an array that is damaged")
    size = 1 if len(shape) <= 4 else -1
    for side in shape:
        size = size * side if 0 <= side <= 1 << 40 else -1
    dtype = _KINDS[kind.code]
    if size < 0 or not isinstance(content, bytes) or size * np.dtype(dtype).itemsize != len(content):
        raise Unreadable("it holds an array whose shape is not that of its bytes")
    return shape, dtype


def filled(shape: Any, kind: Any, fortran: Any, content: Any) -> np.ndarray:
    """The array of an `Array`'s state. Raises Unreadable unless it has just the bytes that its shape needs."""
    if isinstance(content, str):  # of Python 2, whose bytes are texts
        content = _latin1(content)
    shape, dtype = _shape_and_kind(shape, kind, content)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _latin1(text: Any) -> bytes:
    if not isinstance(text, str):
        raise Unreadable("it encodes what is no text")
    try:
        return codecs.latin_1_encode(text)[0]
    except UnicodeEncodeError:
        raise Unreadable("it holds a text where bytes should be") from None


def _encode(arguments: tuple) -> bytes:
    """`_codecs.encode`, which pickles of protocol 2 and below name wherever they hold bytes."""
    text, codec = arguments
    if codec not in ("latin1", b"latin1"):
        raise Unreadable(f"it asks for the codec {shown(codec)}")
    return _latin1(text)


def _kind(arguments: tuple) -> Kind:
    code = arguments[0]
    code = code.decode("latin-1") if isinstance(code, bytes) else code
    if code not in _KINDS:
        raise Unreadable(f"it holds numbers of the type {shown(code)}, not bytes, flags or whole numbers")
    return Kind(code)


def _empty(arguments: tuple) -> Array:
    """`_reconstruct(ndarray, (0,), b"b")`: its content follows as a state."""
    return Array()


def _scalar(arguments: tuple) -> Any:
    kind, content = arguments
    content = _latin1(content) if isinstance(content, str) else content
    _, dtype = _shape_and_kind((1,), kind, content)
    return np.frombuffer(content, dtype)[0]


def _from_buffer(arguments: tuple) -> np.ndarray:
    content, kind, shape, order = arguments
    return filled(shape, kind, order == "F", content)


def _no_call(arguments: tuple) -> Any:
    raise Unreadable("it makes an array in a way that no set of images needs")


def _bytes(arguments: tuple) -> bytes:
    """Python 3 writes empty bytes so in protocol 2 and below."""
    if arguments:
        raise Unreadable("it makes bytes in a way that no set of images needs")
    return b""


FUNCTIONS = {
    ("numpy", "ndarray"): _no_call,  # named as an argument of _reconstruct
    ("numpy", "dtype"): _kind,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _bytes,
    ("builtins", "bytes"): _bytes,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _empty),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
