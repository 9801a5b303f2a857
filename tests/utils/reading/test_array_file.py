"""Arrays of strangers: mapped as NumPy writes them, refused before anything is allocated otherwise."""

import struct

import numpy as np
import pytest

from utils.errors import UserError
from utils.reading.array_file import all_rows, check_members, map_array, map_arrays

RECORDS = np.array([(1, 2.5), (3, 4.5)], [("a", "<i8"), ("b", "<f4")])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.eye(3)),
        RECORDS,
        np.zeros((0, 4), np.uint8),
        np.array(5),
        np.ones(3, "?"),
    ],
    ids=["plain", "fortran", "records", "empty", "scalar", "flags"],
)
def test_what_numpy_wrote_is_mapped(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    mapped = map_array(tmp_path / "x.npy", "is damaged")
    assert (mapped.dtype, mapped.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(mapped, array)
    np.savez(tmp_path / "x.npz", a=array, b=array)
    for mapped in map_arrays(tmp_path / "x.npz", ["a", "b"], "is damaged").values():
        np.testing.assert_array_equal(mapped, array)


def header(text, version=b"\1\0"):
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


def fields(descr="'<f4'", order="False", shape="(2,)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no .npy file"),
        (b"\x93NUMPY", "no .npy file"),
        (header(fields()) + bytes(7), "speaks of 8 bytes of numbers and it has 7"),
        (header(fields()) + bytes(9), "speaks of 8 bytes"),
        (header(fields(shape="(10000000000000,)")) + bytes(8), "speaks of 40000000000000 bytes"),
        (header(fields(shape="(-1,)")), "header is damaged"),
        (header(fields(shape="(True,)")), "shape is impossible"),
        (header(fields(shape="[2]")), "shape is impossible"),
        (header(fields(shape="(1,) * 9")), "header is damaged"),
        (header(fields("'|O'")) + bytes(16), "numbers are of type object"),
        (header(fields("'<U4'")) + bytes(32), "numbers are of type <U4"),
        (header(fields("[('a', '|O')]")) + bytes(16), "numbers are of type object"),
        (header(fields("[('a', '<f4', (1000000000,))]")), "none of numbers"),
        (header(fields("5")), "none of numbers"),
        (header("{'descr': '<f4', 'shape': (1,"), "never closed"),
        (header("(" * 4000), "too many nested"),
        (header("-" * 4000 + "1"), "header is damaged"),
        (header("x" * 5000), "a header of 5000 bytes"),
    ],
)
def test_what_is_no_array_is_refused(tmp_path, content, said):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.npy is damaged: .*({said})"):
        map_array(tmp_path / "x.npy", "is damaged")


def test_compressed_archives_are_not_mapped(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(1 << 20))
    with pytest.raises(UserError, match=r"its a\.npy is compressed; make it again"):
        map_arrays(tmp_path / "x.npz", ["a"], "is damaged", "make it again")
    np.savez(tmp_path / "y.npz", a=np.zeros(3))
    with pytest.raises(UserError, match=r"it has no b\.npy"):
        map_arrays(tmp_path / "y.npz", ["b"], "is damaged")


def test_a_flipped_bit_is_seen(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(100.0), b=np.arange(3))
    check_members(path, ["a", "b"], "is damaged")
    content = bytearray(path.read_bytes())
    content[400] ^= 1
    path.write_bytes(content)
    check_members(path, ["b"], "is damaged")
    with pytest.raises(UserError, match="the checksum of a is another one"):
        check_members(path, ["a", "b"], "is damaged")


def test_rules_hold_for_every_row():
    rows = np.ones((5_000, 1_000), np.float32)
    assert all_rows(rows, np.isfinite)
    rows[-1, -1] = np.nan
    assert not all_rows(rows, np.isfinite)
    assert all_rows(rows[:0], np.isfinite)


def test_a_missing_file_is_the_callers(tmp_path):
    with pytest.raises(FileNotFoundError):
        map_array(tmp_path / "x.npy", "is damaged")
