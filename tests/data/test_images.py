import cv2
import numpy as np
import pytest

from data.images import ImageChecker, Verdict, decodes_cleanly, repair
from tests.data.mxnet_sets import encode, jpegs, picture, with_comment

JPEG = encode(picture(0))
HUFFMAN = JPEG.index(b"\xff\xc4")
SCAN = JPEG.index(b"\xff\xda") + 14


def changed(at, value):
    return JPEG[:at] + bytes((value,)) + JPEG[at + 1 :]


def decode(image):
    return cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_UNCHANGED)


IMAGES = {
    "usual": (JPEG, Verdict.GOOD),
    "poor": (encode(picture(1), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 30), Verdict.GOOD),
    "4:4:4": (
        encode(picture(1), ".jpg", cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        Verdict.GOOD,
    ),
    "progressive": (encode(picture(1), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), Verdict.GOOD),
    "own Huffman tables": (encode(picture(1), ".jpg", cv2.IMWRITE_JPEG_OPTIMIZE, 1), Verdict.GOOD),
    "restarts": (encode(picture(1), ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2), Verdict.GOOD),
    "comment": (with_comment(JPEG, b"a face"), Verdict.GOOD),
    "bytes after its end": (JPEG + b"\0\0\0", Verdict.GOOD),
    "gray": (encode(picture(1)[..., 0]), Verdict.GRAY),
    "PNG": (encode(picture(1), ".png"), Verdict.NOT_JPEG),
    "PNG with alpha": (encode(cv2.cvtColor(picture(1), cv2.COLOR_BGR2BGRA), ".png"), Verdict.NOT_JPEG),
    "BMP": (encode(picture(1), ".bmp"), Verdict.NOT_JPEG),
    "WebP": (encode(picture(1), ".webp"), Verdict.NOT_JPEG),
    "empty": (b"", Verdict.EMPTY),
    "garbage": (bytes(range(256)) * 8, Verdict.BROKEN),
    "garbage after the JPEG signature": (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8, Verdict.BROKEN),
    "only a header": (JPEG[:SCAN], Verdict.BROKEN),
    "cut in the body": (JPEG[: len(JPEG) // 2], Verdict.BROKEN),
    "without its last byte": (JPEG[:-1], Verdict.BROKEN),
    "impossible Huffman table": (changed(HUFFMAN + 5, 255), Verdict.BROKEN),
    "a marker in the body": (JPEG[: SCAN + 50] + b"\xff\xc4\x00\x05abc" + JPEG[SCAN + 50 :], Verdict.BROKEN),
    "small": (encode(picture(1, (96, 112))), Verdict.WRONG_SIZE),
    "small PNG": (encode(picture(1, (112, 96)), ".png"), Verdict.WRONG_SIZE),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("experienced", [False, True])
def test_verdict(name, experienced, capfd):
    checker = ImageChecker()
    if experienced:
        assert all(checker.check(b"--" + jpeg + b"--", 2, 2 + len(jpeg)) is Verdict.GOOD for jpeg in jpegs(3))
    image, expected = IMAGES[name]
    assert checker.check(b"before" + image + JPEG, 6, 6 + len(image)) is expected
    assert capfd.readouterr().err == ""  # libjpeg's complaints are not for the user


def test_each_repairable_image_repaired_is_good_and_shows_the_same():
    for name, (image, verdict) in IMAGES.items():
        if verdict.repairable:
            repaired = repair(image)
            assert ImageChecker().check(repaired, 0, len(repaired)) is Verdict.GOOD
            original = decode(image)
            original = original[..., :3] if original.ndim == 3 else cv2.cvtColor(original, cv2.COLOR_GRAY2BGR)
            difference = np.abs(decode(repaired).astype(int) - original)
            assert difference.mean() < 1.5, name
            assert difference.max() < 16, name
    with pytest.raises(ValueError, match="does not decode"):
        repair(b"garbage")


def test_an_orientation_tag_does_not_turn_the_repaired_image():
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    gray = encode(picture(1)[..., 0])
    turned = gray[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + gray[2:]
    assert np.abs(decode(repair(turned))[..., 0].astype(int) - decode(gray)).max() < 8


def test_full_decoding_finds_a_body_that_was_cut_and_closed():
    cut = JPEG[: len(JPEG) // 2] + b"\xff\xd9"
    assert ImageChecker().check(cut, 0, len(cut)) is Verdict.GOOD
    assert decodes_cleanly(JPEG)
    assert not decodes_cleanly(cut)
    assert not decodes_cleanly(b"garbage")
