"""Pickles of images and flags: plain data is read in every form, and nothing else is named, made or believed."""

import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from utils.reading.pickled import read_pickle
from utils.reading.pickled_arrays import Unreadable


def read(tmp_path, content):
    (tmp_path / "a.bin").write_bytes(content)
    return read_pickle(tmp_path / "a.bin")


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(7, dtype=np.uint8),
        np.array([True, False]),
        np.array([[1, -(1 << 40)], [3, 4]]),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.zeros(0, np.uint8),
    ],
    ids=["bytes", "flags", "numbers", "fortran", "empty"],
)
def test_arrays_come_back(tmp_path, array, protocol):
    arrays = read(tmp_path, pickle.dumps([array, array], protocol))
    assert [each.dtype for each in arrays] == [array.dtype] * 2
    for each in arrays:
        np.testing.assert_array_equal(each, array)


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_comes_back(tmp_path, protocol):
    image = bytes(range(256)) * 3
    data = ([image, b"", image], [True, False, 0, 1, -5, 300, 70000], ("é", None), np.True_, np.int64(9))
    assert read(tmp_path, pickle.dumps(data, protocol)) == data


def test_quoted_text_of_python_2(tmp_path):
    assert read(tmp_path, b"(lp0\nS'\\xff\\xd8it\\'s'\np1\naI01\na.") == [b"\xff\xd8it's", True]


def state_of(shape, kind, content):
    """The pickle of an array with this state."""
    text = pickle.dumps(kind, 2)[2:-1]
    return b"".join(
        (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R",
            b"(K\1" + pickle.dumps(shape, 2)[2:-1] + b"cnumpy\ndtype\n" + text + b"K\0K\1\x87R",
            b"\x89U" + bytes((len(content),)) + content + b"tb.",
        )
    )


def test_an_array_by_hand_is_read(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, state_of((2, 2), "u1", b"abcd")), np.array([[97, 98], [99, 100]]))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (state_of((1,), "O8", b"12345678"), "of the type O8"),
        (state_of((1 << 40,), "u1", b"1"), "shape is not that of its bytes"),
        (state_of((1 << 40, 1 << 40), "u1", b""), "shape is not that of its bytes"),
        (state_of((-1,), "u1", b"1"), "shape is not that of its bytes"),
        (state_of((0, 1 << 62), "u1", b""), "shape is not that of its bytes"),
        (b"", "it is empty"),
        (b"\x80\x04", "cut short"),
        (b"\x80\x04B\xff\xff\xff\xff.", "cut short"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b".", "cut short"),
        (b"T\xff\xff\xff\xff.", "cut short"),
        (b"]" * 100 + b"a" * 99 + b".", "nested too deeply"),
        (b"]q\0h\0a.", "nested too deeply"),
        (b"N" + b"\x85" * 100 + b".", "nested too deeply"),
        (b"\x8a\xff" + b"1" * 255 + b".", "a number that is too large"),
        (b"I" + b"1" * 5000 + b"\n.", "a line in it is too long"),
        (b"c" + b"x" * 500 + b"\ny\n.", "which no set of images needs"),
        (b"cos\nsystem\nU\4true\x85R.", r"asks for os\.system"),
        (b"}.", "the operation b'}'"),
        (b"N)R.", "calls what is no function"),
        (b"N(b.", "damaged"),
        (b"N)b.", "a state that none has here"),
        (b".", "damaged"),
        (b"e.", "damaged"),
        (b"h\1.", "damaged"),
        (b"cnumpy\ndtype\n)R.", "damaged"),
    ],
)
def test_the_broken_and_the_hostile(tmp_path, content, said):
    with pytest.raises(Unreadable, match=said) as refusal:
        read(tmp_path, content)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    "content",
    [
        b"(" + b"]" * 400_000 + b"l.",
        b"N" + b"".join(b"r" + struct.pack("<I", 0xFFFFFF00 - n) for n in range(1000)) + b".",
        b"(" + b"N" * 400_000 + b"t.",
    ],
    ids=["lists", "memo", "items"],
)
def test_memory_follows_the_files_length(tmp_path, content):
    tracemalloc.start()
    try:
        read(tmp_path, content)
    except Unreadable:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < (96 << 20) + 16 * len(content)
