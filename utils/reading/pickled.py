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
from pathlib import Path
from typing import Any

from utils.reading.faults import shown
from utils.reading.pickled_arrays import FUNCTIONS, Array, Function, Kind, Unreadable, filled, plain

_SPARE = 64 << 20  # bytes
_PER_BYTE = 4  # bytes that each byte of a file may become, beyond those
_OBJECT = 96  # bytes that any object takes
_KEPT = 200  # bytes more for a list or tuple, whose depth is noted
_MAX_DEPTH = 32  # tuples and lists in each other
_MAX_WORD = 1 << 10  # characters of a name or a text
_MAX_DIGITS = 20  # of a number


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
        return plain(self._stack.pop())

    def _take(self, length: int) -> bytes:
        if length < 0 or length > len(self._data) - self._at:
            raise Unreadable("it is cut short")
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken

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
        made = kind(map(plain, items))
        self._nest(made, items)
        self._stack.append(made)

    def extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not list:
            raise Unreadable("it appends to what is no list")
        self._left -= 8 * len(items)
        self._nest(target, items)
        target += map(plain, items)

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
                pushed = self._stack[place + 1 :]
                del self._stack[place:]
                return pushed
        raise Unreadable("it is damaged")

    def pop(self, count: int) -> list[Any]:
        popped = self._stack[len(self._stack) - count :]
        if len(self._stack) < count or any(item is _Mark for item in popped):
            raise Unreadable("it is damaged")
        del self._stack[len(self._stack) - count :]
        return popped

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
        call = FUNCTIONS.get((module, name))
        if call is None:
            raise Unreadable(f"it asks for {shown(module)}.{shown(name)}, which no set of images needs")
        self.push(Function(name, call))

    def reduce(self) -> None:
        function, arguments = self.pop(2)
        if not isinstance(function, Function) or type(arguments) is not tuple:
            raise Unreadable("it calls what is no function")
        made = function.call(tuple(map(plain, arguments)))
        self.push(made, len(made) if isinstance(made, bytes) else 0)  # arrays lie in bytes that are there

    def build(self) -> None:
        (state,) = self.pop(1)
        if type(state) is not tuple:
            raise Unreadable("it holds an object with a state that none has here")
        target = self._stack[-1]
        if isinstance(target, Array):
            target.value = filled(*(plain(part) for part in state[1:]))
        elif not isinstance(target, Kind):
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
