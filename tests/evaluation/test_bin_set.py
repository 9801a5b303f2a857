"""`.bin` sets: what is written is read, in every form the field has written them, and nothing in them is run."""

import io
import os
import pickle

import cv2
import numpy as np
import pytest

from evaluation.bin_set import BinSet, write_bin
from utils.errors import UserError


def _encoded(seed=0, size=(112, 112), suffix=".jpg"):
    pixels = np.random.default_rng(seed).integers(0, 256, size=(*size, 3), dtype=np.uint8)
    return cv2.imencode(suffix, pixels)[1].tobytes()


def _dump(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def _python2_pickle(images, flags):
    """The bytes Python 2 writes (protocol 2), where a str of bytes is a BINSTRING and True an opcode of its own."""
    out = io.BytesIO()
    out.write(b"\x80\x02]q\x00(")
    for image in images:
        out.write(b"T" + len(image).to_bytes(4, "little") + image)
    out.write(b"e](" + b"".join(b"\x88" if flag else b"\x89" for flag in flags) + b"e\x86.")
    return out.getvalue()


def test_written_is_read(tmp_path):
    images = [_encoded(seed) for seed in range(4)]
    write_bin(tmp_path / "lfw.bin", images, [True, False])
    loaded = BinSet.load(tmp_path / "lfw.bin")
    assert len(loaded) == 4
    assert loaded.issame.dtype == bool
    assert loaded.issame.tolist() == [True, False]
    pixels = loaded.decode(1, 3)
    assert pixels.shape == (2, 112, 112, 3)
    assert pixels.dtype == np.uint8
    bgr = cv2.imdecode(np.frombuffer(images[2], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(pixels[1], bgr[..., ::-1])
    assert loaded.decode(3, 64).shape == (1, 112, 112, 3)
    assert os.listdir(tmp_path) == ["lfw.bin"]


def test_png_and_gray_decode_too(tmp_path):
    gray = cv2.imencode(".jpg", np.full((112, 112), 77, np.uint8))[1].tobytes()
    write_bin(tmp_path / "a.bin", [_encoded(suffix=".png"), gray], [True])
    assert (BinSet.load(tmp_path / "a.bin").decode(0, 2)[1] == 77).all()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("as_array", [False, True])
def test_every_protocol(tmp_path, protocol, as_array):
    images = [_encoded(0), _encoded(1)]
    content = [np.frombuffer(image, np.uint8).copy() for image in images] if as_array else images
    loaded = BinSet.load(_dump(tmp_path / "a.bin", (content, [np.True_ if as_array else True]), protocol))
    assert loaded.issame.tolist() == [True]
    assert loaded.decode(0, 2).shape == (2, 112, 112, 3)


def test_python_2(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(_python2_pickle([_encoded(0), _encoded(1)], [False]))
    loaded = BinSet.load(path)
    assert loaded.issame.tolist() == [False]
    assert loaded.decode(0, 2).shape == (2, 112, 112, 3)


class _Runs:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("function", [os.system, eval, np.load, np.fromfile])
def test_nothing_in_the_pickle_is_run(tmp_path, function, protocol):
    trace = tmp_path / "trace"
    argument = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    path = _dump(tmp_path / "a.bin", ([b"", _Runs(function, argument)], [True]), protocol)
    with pytest.raises(UserError, match="which no set of images needs"):
        BinSet.load(path)
    assert not trace.exists()


def test_missing_set_is_named(tmp_path):
    with pytest.raises(UserError, match=r"names 'cfp_fp', but .*cfp_fp\.bin is missing"):
        BinSet.load(tmp_path / "cfp_fp.bin")


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(([b"x"], [True]))[:-3], b"\x80\x04}."])
def test_no_such_pickle(tmp_path, content):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.bin is not an InsightFace verification set"):
        BinSet.load(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ((3, 4), "no .images, issame. in it"),
        (([b"x"], [True], 0), "no .images, issame. in it"),
        (([b"x"] * 3, [True]), "3 images for 1 pairs"),
        (([b"x"] * 2, [True, False]), "2 images for 2 pairs"),
        (([], []), "0 images for 0 pairs"),
        (([b"x"] * 2, ["yes"]), "flag of pair 0 is 'yes'"),
        (([b"x"] * 2, [2]), "flag of pair 0 is 2"),
        (([b"x", "text"], [True]), "image 1 is no encoded image but str"),
        (([b"x", np.zeros((112, 112, 3), np.uint8)], [True]), "image 1 is no encoded image but ndarray"),
        (([b"x", np.zeros(9, np.float32)], [True]), "numbers of the type f4"),
    ],
)
def test_contents_that_do_not_fit(tmp_path, content, problem):
    with pytest.raises(UserError, match=rf"a\.bin.*{problem}"):
        BinSet.load(_dump(tmp_path / "a.bin", content))


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (b"", "does not decode"),
        (b"no image", "does not decode"),
        (_encoded()[:100], "does not decode"),
        (_encoded(size=(112, 96)), "is 112x96 pixels, not 112x112 as image 0"),
    ],
)
def test_images_that_do_not_fit(tmp_path, image, problem):
    write_bin(tmp_path / "a.bin", [_encoded(), _encoded(), _encoded(), image], [True, True])
    loaded = BinSet.load(tmp_path / "a.bin")
    assert len(loaded.decode(0, 3)) == 3
    with pytest.raises(UserError, match=rf"a\.bin: image 3 {problem}"):
        loaded.decode(2, 4)


@pytest.mark.parametrize("size", [(96, 112), (128, 128), (224, 160)])
def test_images_of_another_size(tmp_path, size):
    write_bin(tmp_path / "a.bin", [*(_encoded(seed, size) for seed in range(3)), _encoded()], [True, False])
    loaded = BinSet.load(tmp_path / "a.bin")
    assert loaded.image_size == size and loaded.decode(0, 3).shape == (3, *size, 3)
    assert loaded.decode(2, 2).shape == (0, *size, 3)
    wanted = f"image 3 is 112x112 pixels, not {size[0]}x{size[1]} as image 0"
    with pytest.raises(UserError, match=wanted):
        loaded.decode(2, 4)


def test_write_refuses_odd_counts(tmp_path):
    with pytest.raises(ValueError, match="3 images for 1 pairs"):
        write_bin(tmp_path / "a.bin", [b"x"] * 3, [True])


def test_write_leaves_the_old_set_when_it_fails(tmp_path):
    path = tmp_path / "a.bin"
    write_bin(path, [b"x", b"y"], [True])
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_bin(path, [b"x", "text"], [True])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.bin"]
