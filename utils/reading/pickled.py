"""Pickles of images and flags, read without pickle: nothing in them is named, called or made that is not plain data.

What is made is None, booleans, whole numbers, texts, bytes, lists, tuples, and arrays of uint8, bool and int64, in the
forms in which every protocol and every NumPy writes them. The operations are those of `pickletools` in the standard
library; the rest of them is refused. The functions that such pickles name are stood in for by the few below, which do
not run what they are called with.
"""

from __future__ import annotations

import codecs
import mmap
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.reading.faults import shown

_SPARE = 64 << 20  # bytes
_PER_BYTE = 4  # bytes that each byte of a file may become, beyond those
_OBJECT = 96  # bytes that any object takes
_KEPT = 200  # bytes more for a list or tuple, whose depth is noted
_MAX_DEPTH = 32  # tuples and lists in each other
_MAX_WORD = 1 << 10  # characters of a name or a text
_MAX_DIGITS = 20  # of a number
_KINDS = {"u1": np.uint8, "b1": np.bool_, "i8": np.int64}


class Unreadable(ValueError):
    """The pickle is damaged, or asks for what no set of images needs."""


def read_pickle(path: Path) -> Any:
    """What is in the file. Raises Unreadable, and OSError."""
    with path.open("rb") as file:
        try:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise Unreadable("it is empty") from None
        with data:
            try:
                return _Machine(data).run()
            except Unreadable:
                raise
            except (IndexError, struct.error, TypeError, ValueError):
                raise Unreadable("it is damaged") from None


@dataclass
class _Function:
    """A name in a pickle that stands for one of the functions here."""

    name: str
    call: Callable[[_Machine, tuple], Any]


@dataclass
class _Kind:
    """In place of a dtype: the bytes of one number and its kind, such as "u1"."""

    code: str


@dataclass
class _Array:
    """In place of an array whose state comes later."""

    value: np.ndarray | None = None


class _Mark:
    pass


class _Machine:
    """Runs the operations. Each may only take what the file still has, and make what it has bytes for."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0
        self._left = _SPARE + _PER_BYTE * len(data)
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._depths: dict[int, int] = {}  # of the lists and tuples in use, by id; all are kept in _kept
        self._kept: list[Any] = []

    def run(self) -> Any:
        while (code := self._take(1)) != b".":
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise Unreadable(f"it holds the operation {code!r}, which no set of images needs")
            operation(self)
        return _plain(self._stack.pop())

    def _take(self, length: int) -> bytes:
        if length < 0 or length > len(self._data) - self._at:
            raise Unreadable("it is cut short")
        found = self._data[self._at : self._at + length]
        self._at += length
        return found

    def _number(self, form: str) -> int:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self, longest: int) -> bytes:
        end = self._data.find(b"\n", self._at)
        if end < 0 or end - self._at > longest:
            raise Unreadable("a line in it is too long")
        return self._take(end + 1 - self._at)[:-1]

    def _spend(self, size: int) -> None:
        self._left -= _OBJECT + size
        if self._left < 0:
            raise Unreadable("it would take far more memory than its file has bytes")

    def push(self, value: Any, size: int = 0) -> None:
        self._spend(size)
        self._stack.append(value)

    def group(self, items: list[Any], kind: type) -> None:
        """Pushes a list or a tuple of the items."""
        self._spend(8 * len(items))
        made = kind(map(_plain, items))
        self._nest(made, items)
        self._stack.append(made)

    def extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise Unreadable("it appends to what is no list")
        self._left -= 8 * len(items)
        self._nest(target, items)
        target += map(_plain, items)

    def _nest(self, outer: Any, items: list[Any]) -> None:
        """Notes how deep `outer` is, which holds the items; one in itself is too deep at once."""
        depth = self._depths.get(id(outer), 0)
        if not depth:
            self._left -= _KEPT
            self._kept.append(outer)
        inner = max((self._depths.get(id(item), 0) for item in items), default=0)
        if any(item is outer for item in items) or inner >= _MAX_DEPTH:
            raise Unreadable("it is nested too deeply")
        self._depths[id(outer)] = max(depth, inner + 1)

    def to_mark(self) -> list[Any]:
        """All that was pushed since the last mark."""
        for place in range(len(self._stack) - 1, -1, -1):
            if self._stack[place] is _Mark:
                found = self._stack[place + 1 :]
                del self._stack[place:]
                return found
        raise Unreadable("it is damaged")

    def pop(self, count: int) -> list[Any]:
        found = self._stack[len(self._stack) - count :]
        if len(self._stack) < count or any(item is _Mark for item in found):
            raise Unreadable("it is damaged")
        del self._stack[len(self._stack) - count :]
        return found

    def keep(self, number: int) -> None:
        if number < 0:
            raise Unreadable("it is damaged")
        self._memo[number] = self._stack[-1]
        self._spend(0)

    def recall(self, number: int) -> None:
        if number not in self._memo:
            raise Unreadable("it is damaged")
        self._stack.append(self._memo[number])
        self._left -= 8

    def name(self, module: bytes | str, name: bytes | str) -> None:
        module, name = (part.decode("latin-1") if isinstance(part, bytes) else part for part in (module, name))
        call = _FUNCTIONS.get((module, name))
        if call is None:
            raise Unreadable(f"it asks for {shown(module)}.{shown(name)}, which no set of images needs")
        self.push(_Function(name, call))

    def reduce(self) -> None:
        function, arguments = self.pop(2)
        if not isinstance(function, _Function) or type(arguments) is not tuple:
            raise Unreadable("it calls what is no function")
        made = function.call(self, tuple(map(_plain, arguments)))
        self.push(made, len(made) if isinstance(made, bytes) else 0)  # arrays lie in bytes that are there

    def build(self) -> None:
        (state,) = self.pop(1)
        if type(state) is not tuple:
            raise Unreadable("it holds an object with a state that none has here")
        target = self._stack[-1]
        if isinstance(target, _Array):
            target.value = _filled(*(_plain(part) for part in state[1:]))
        elif not isinstance(target, _Kind):
            raise Unreadable("it holds an object with a state that none has here")

    def text(self, content: bytes) -> None:
        text = content.decode("utf-8", "surrogatepass")
        self.push(text, sys.getsizeof(text))

    def content(self, length: int) -> None:
        self.push(self._take(length), length)

    def long(self, length: int) -> None:
        if length > _MAX_DIGITS:
            raise Unreadable("it holds a number that is too large")
        self.push(int.from_bytes(self._take(length), "little", signed=True))


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


def _shape_and_kind(shape: Any, kind: Any, content: bytes | None) -> tuple[tuple[int, ...], type]:
    """Checked: of bytes that are there."""
    shape = (shape,) if type(shape) is int else shape
    if not isinstance(kind, _Kind) or type(shape) is not tuple or not all(type(side) is int for side in shape):
        raise Unreadable("it holds an array that is damaged")
    size = 1 if len(shape) <= 4 else -1
    for side in shape:
        size = size * side if 0 <= side <= 1 << 40 else -1
    dtype = _KINDS[kind.code]
    if size < 0 or not isinstance(content, bytes) or size * np.dtype(dtype).itemsize != len(content):
        raise Unreadable("it holds an array whose shape is not that of its bytes")
    return shape, dtype


def _filled(shape: Any, kind: Any, fortran: Any, content: Any) -> np.ndarray:
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


def _encode(machine: _Machine, arguments: tuple) -> bytes:
    """`_codecs.encode`, which pickles of protocol 2 and below name wherever they hold bytes."""
    text, codec = arguments
    if codec not in ("latin1", b"latin1"):
        raise Unreadable(f"it asks for the codec {shown(codec)}")
    return _latin1(text)


def _kind(machine: _Machine, arguments: tuple) -> _Kind:
    code = arguments[0]
    code = code.decode("latin-1") if isinstance(code, bytes) else code
    if code not in _KINDS:
        raise Unreadable(f"it holds numbers of the type {shown(code)}, not bytes, flags or whole numbers")
    return _Kind(code)


def _empty(machine: _Machine, arguments: tuple) -> _Array:
    """`_reconstruct(ndarray, (0,), b"b")`: its content follows as a state."""
    return _Array()


def _scalar(machine: _Machine, arguments: tuple) -> Any:
    kind, content = arguments
    content = _latin1(content) if isinstance(content, str) else content
    _, dtype = _shape_and_kind((1,), kind, content)
    return np.frombuffer(content, dtype)[0]


def _from_buffer(machine: _Machine, arguments: tuple) -> np.ndarray:
    content, kind, shape, order = arguments
    return _filled(shape, kind, order == "F", content)


def _no_call(machine: _Machine, arguments: tuple) -> Any:
    raise Unreadable("it makes an array in a way that no set of images needs")


def _bytes(machine: _Machine, arguments: tuple) -> bytes:
    """Python 3 writes empty bytes so in protocol 2 and below."""
    if arguments:
        raise Unreadable("it makes bytes in a way that no set of images needs")
    return b""


_FUNCTIONS = {
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


def _whole(line: bytes) -> int | bool:
    """A number of protocol 0, where 00 and 01 are False and True."""
    if line in (b"00", b"01"):
        return line == b"01"
    try:
        return int(line.removesuffix(b"L"))
    except ValueError:
        raise Unreadable("it holds a number that is damaged") from None


def _quoted(line: bytes) -> bytes:
    """A text of Python 2 in protocol 0."""
    if len(line) < 2 or line[:1] not in b"'\"" or line[-1:] != line[:1]:
        raise Unreadable("it holds a text that is damaged")
    try:
        return codecs.escape_decode(line[1:-1])[0]
    except ValueError:
        raise Unreadable("it holds a text that is damaged") from None


def _raw_text(line: bytes) -> str:
    try:
        return line.decode("raw-unicode-escape")
    except UnicodeDecodeError:
        raise Unreadable("it holds a text that is damaged") from None


_LINE = 1 << 31  # bytes of an image as a line of text, in protocol 0
# By the letters of the file; their names are those of pickletools.
_OPERATIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m._take(1),  # PROTO
    b"\x95": lambda m: m._take(8),  # FRAME
    b"(": lambda m: m._stack.append(_Mark),  # MARK
    b"0": lambda m: m.pop(1),  # POP
    b"1": lambda m: m.to_mark(),  # POP_MARK
    b"N": lambda m: m.push(None),  # NONE
    b"\x88": lambda m: m._stack.append(True),  # NEWTRUE
    b"\x89": lambda m: m._stack.append(False),  # NEWFALSE
    b"I": lambda m: m.push(_whole(m._line(_MAX_DIGITS))),  # INT
    b"L": lambda m: m.push(_whole(m._line(_MAX_DIGITS))),  # LONG
    b"J": lambda m: m.push(m._number("<i")),  # BININT
    b"K": lambda m: m.push(m._number("<B")),  # BININT1
    b"M": lambda m: m.push(m._number("<H")),  # BININT2
    b"\x8a": lambda m: m.long(m._number("<B")),  # LONG1
    b"S": lambda m: m.push(line := _quoted(m._line(_LINE)), len(line)),  # STRING
    b"T": lambda m: m.content(m._number("<i")),  # BINSTRING
    b"U": lambda m: m.content(m._number("<B")),  # SHORT_BINSTRING
    b"B": lambda m: m.content(m._number("<I")),  # BINBYTES
    b"C": lambda m: m.content(m._number("<B")),  # SHORT_BINBYTES
    b"\x8e": lambda m: m.content(m._number("<Q")),  # BINBYTES8
    b"\x96": lambda m: m.content(m._number("<Q")),  # BYTEARRAY8
    b"V": lambda m: m.push(line := _raw_text(m._line(_LINE)), sys.getsizeof(line)),  # UNICODE
    b"X": lambda m: m.text(m._take(m._number("<I"))),  # BINUNICODE
    b"\x8c": lambda m: m.text(m._take(m._number("<B"))),  # SHORT_BINUNICODE
    b"\x8d": lambda m: m.text(m._take(m._number("<Q"))),  # BINUNICODE8
    b"]": lambda m: m.group([], list),  # EMPTY_LIST
    b")": lambda m: m.group([], tuple),  # EMPTY_TUPLE
    b"l": lambda m: m.group(m.to_mark(), list),  # LIST
    b"t": lambda m: m.group(m.to_mark(), tuple),  # TUPLE
    b"\x85": lambda m: m.group(m.pop(1), tuple),  # TUPLE1
    b"\x86": lambda m: m.group(m.pop(2), tuple),  # TUPLE2
    b"\x87": lambda m: m.group(m.pop(3), tuple),  # TUPLE3
    b"a": lambda m: m.extend(m.pop(1)),  # APPEND
    b"e": lambda m: m.extend(m.to_mark()),  # APPENDS
    b"g": lambda m: m.recall(_whole(m._line(_MAX_DIGITS))),  # GET
    b"h": lambda m: m.recall(m._number("<B")),  # BINGET
    b"j": lambda m: m.recall(m._number("<I")),  # LONG_BINGET
    b"p": lambda m: m.keep(_whole(m._line(_MAX_DIGITS))),  # PUT
    b"q": lambda m: m.keep(m._number("<B")),  # BINPUT
    b"r": lambda m: m.keep(m._number("<I")),  # LONG_BINPUT
    b"\x94": lambda m: m.keep(len(m._memo)),  # MEMOIZE
    b"c": lambda m: m.name(m._line(_MAX_WORD), m._line(_MAX_WORD)),  # GLOBAL
    b"\x93": lambda m: m.name(*m.pop(2)),  # STACK_GLOBAL
    b"R": lambda m: m.reduce(),  # REDUCE
    b"b": lambda m: m.build(),  # BUILD
}
