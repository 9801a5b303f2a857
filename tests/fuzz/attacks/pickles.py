"""Verification sets."""

import io
import pickle
import struct

from tests.fuzz.attacks.attack import attack

_RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R"


def _dtype(kind: bytes) -> bytes:
    return b"cnumpy\ndtype\n" + b"U" + bytes((len(kind),)) + kind + b"K\0K\1\x87R"


def _set_of(image: bytes) -> bytes:
    """A pair whose images are what `image` makes."""
    return b"\x80\x02](" + image + image + b"e](\x88e\x86."


def _array(kind: bytes, shape: bytes, content: bytes) -> bytes:
    return _RECONSTRUCT + b"(K\1" + shape + _dtype(kind) + b"\x89T" + struct.pack("<I", len(content)) + content + b"tb"


@attack("bin", "new.bin")
def bin_of_objects_over_its_own_bytes(content):
    return _set_of(_array(b"O8", b"K\x02\x85", struct.pack("<QQ", 0x4141414141414141, 1)))


@attack("bin", "new.bin")
def bin_of_objects_without_a_state(content):
    return _set_of(b"cnumpy\nndarray\nK\x09\x85" + _dtype(b"O8") + b"\x86R")


@attack("bin", "new.bin")
def bin_array_larger_than_its_bytes(content):
    return _set_of(_array(b"u1", b"\x8a\x05" + (1 << 33).to_bytes(5, "little") + b"\x85", b"abc"))


@attack("bin", "new.bin")
def bin_array_made_of_nothing(content):
    return _set_of(b"cnumpy\nndarray\n\x8a\x05" + (1 << 33).to_bytes(5, "little") + b"\x85" + _dtype(b"u1") + b"\x86R")


@attack("bin", "new.bin")
def bin_array_without_strides(content):
    """`ndarray(shape, dtype, buffer, offset, strides)` with strides of zero: as large as it says, in a byte."""
    shape = b"\x8a\x05" + (1 << 33).to_bytes(5, "little") + b"\x85"
    return _set_of(b"cnumpy\nndarray\n(" + shape + _dtype(b"u1") + b"U\1aK\0K\0\x85tR")


@attack("bin", "new.bin")
def bin_dtype_with_a_state_of_its_own(content):
    state = b"(K\3U\1|NNN\x8a\x05" + (1 << 33).to_bytes(5, "little") + b"K\1K\0tb"
    return _set_of(_RECONSTRUCT + b"(K\1K\1\x85" + _dtype(b"u1") + state + b"\x89U\1atb")


@attack("bin", "new.bin")
def bin_that_runs_a_program(content):
    return b"cposix\nsystem\n(U\x04true\x85R."


@attack("bin", "new.bin")
def bin_of_a_deep_list(content):
    return b"\x80\x02" + b"]" * 2_000_000 + b"a" * 1_999_999 + b"."


@attack("bin", "new.bin")
def bin_of_deep_tuples(content):
    return b"\x80\x02N" + b"\x85" * 2_000_000 + b"."


@attack("bin", "new.bin")
def bin_in_itself(content):
    return b"\x80\x02]q\0h\0a]\x88a\x86."


@attack("bin", "new.bin")
def bin_with_a_huge_place_in_the_memo(content):
    return b"\x80\x02]r\xff\xff\xff\xff.".replace(b"\xff\xff\xff\xff", struct.pack("<I", (1 << 31) + 5))


@attack("bin", "new.bin")
def bin_with_a_frame_of_exabytes(content):
    return b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N."


@attack("bin", "new.bin")
def bin_with_bytes_that_are_not_there(content):
    return b"\x80\x04\x8e" + struct.pack("<Q", 6 << 30) + b"abc."


@attack("bin", "new.bin")
def bin_number_of_many_digits(content):
    return b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b"."


@attack("bin", "new.bin")
def bin_of_many_empty_lists(content):
    return b"\x80\x02(" + b"]" * 8_000_000 + b"l]\x88a\x86."


@attack("bin", "new.bin")
def bin_of_one_image_again_and_again(content):
    image = b"\xff\xd8" + bytes(1_000_000)
    images = b"B" + struct.pack("<I", len(image)) + image + b"q\1" + b"h\1" * 199_999
    return b"\x80\x03](" + images + b"e](" + b"\x88" * 100_000 + b"e\x86."


@attack("bin", "new.bin")
def bin_with_a_long_flag(content):
    return b"\x80\x02](U\1aU\1ae](X" + struct.pack("<I", 1 << 22) + b"y" * (1 << 22) + b"e\x86."


@attack("bin", "new.bin")
def bin_with_an_extension(content):
    return b"\x80\x02\x82\x01."


@attack("bin", "new.bin")
def bin_with_a_persistent_name(content):
    return b"\x80\x02Pfile:///etc/passwd\n."


@attack("bin", "new.bin")
def bin_that_asks_for_a_long_name(content):
    return b"c" + b"x" * 100_000 + b"\ny\n."


@attack("bin", "new.bin")
def bin_of_a_dictionary(content):
    return pickle.dumps({"images": [b""], "issame": [True]})


@attack("bin", "new.bin")
def bin_of_float_images(content):
    out = io.BytesIO()
    out.write(_set_of(_array(b"f8", b"K\1\x85", bytes(8))))
    return out.getvalue()
