"""Headers of images: the sizes that decoders find, and nothing is decoded that asks for more than its bytes hold."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from tests.data.mxnet_sets import encode, picture
from utils.reading.images import decode, image_size, may_be_decoded
from utils.reading.limits import Limits

FORMS = [
    (".jpg",),
    (".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    (".png",),
    (".bmp",),
    (".webp",),
    (".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("size", [(112, 112), (1, 7), (300, 20)])
def test_sizes_are_those_of_the_pixels(form, size):
    image = encode(picture(0, size), *form)
    assert image_size(image)[:2] == size
    assert may_be_decoded(image)
    np.testing.assert_array_equal(
        decode(image, cv2.IMREAD_COLOR), cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    )
    assert decode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR, max_pixels=size[0] * size[1] - 1) is None


def test_gray_and_alpha():
    assert image_size(encode(picture(0)[..., 0]))[:2] == (112, 112)
    assert image_size(encode(cv2.cvtColor(picture(0), cv2.COLOR_BGR2BGRA), ".webp"))[:2] == (112, 112)


def test_a_top_down_bitmap():
    image = encode(picture(0, (8, 9)), ".bmp")
    assert image_size(image[:22] + struct.pack("<i", -8) + image[26:])[:2] == (8, 9)


def png(width, height, body=b""):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_file_is_not_believed_beyond_what_its_bytes_can_hold():
    assert may_be_decoded(png(2000, 2000))  # 12 MB at most
    assert not may_be_decoded(png(20_000, 20_000))
    assert not may_be_decoded(png(20_000, 2000))
    assert may_be_decoded(png(20_000, 2000, bytes(8000)))
    assert not may_be_decoded(png(20_000, 20_000, bytes(Limits().image_pixels // 1000)))
    assert not may_be_decoded(png(0, 5))


def test_a_progressive_image_of_many_scans_takes_no_hours():
    image = encode(picture(0), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert image_size(image).passes > 3
    scan = image.index(b"\xff\xda")
    many = image[:scan] + image[scan : scan + 50] * 2000
    assert not may_be_decoded(many, max_pixels=112 * 112) or image_size(many).passes * 112 * 112 <= 20 << 22
    at = many.index(b"\xff\xc2")
    assert not may_be_decoded(many[: at + 5] + struct.pack(">HH", 5000, 5000) + many[at + 9 :], max_pixels=30_000_000)


@pytest.mark.parametrize(
    "image", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF1234WEBP", b"GIF89a" + bytes(40), b"%!PS"]
)
def test_what_is_none_is_not_decoded(image):
    assert image_size(image) is None
    assert decode(image, cv2.IMREAD_COLOR) is None


def test_a_chunk_that_is_not_there():
    image = encode(picture(0), ".png")
    at = image.index(b"IDAT") - 4
    assert image_size(image[:at] + struct.pack(">I", 0x7FFFFFF0) + image[at + 4 :]) is None
    assert image_size(image[:-20]) is None
