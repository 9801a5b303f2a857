"""The search for copies against all pairs compared, and the hash on pictures that were changed."""

import hashlib

import cv2
import numpy as np
import pytest
from scipy.fft import dctn

from preparation.inspect.duplicates import (
    DIFFERENCE,
    DISTANCE,
    bit_distances,
    differences,
    digest,
    find_groups,
    near_pairs,
    perceptual_hashes,
    thumbnail,
)
from tests.data.mxnet_sets import encode
from tests.data.ofrecord_sets import face

FACES = [face(person, image) for person in range(20) for image in range(3)]
PIXELS = [cv2.imdecode(np.frombuffer(each, np.uint8), cv2.IMREAD_COLOR) for each in FACES]


def hashes_of(images):
    return perceptual_hashes([thumbnail(image) for image in images])


def test_the_hash_is_its_definition():
    for image, hashed in zip(FACES, hashes_of(FACES), strict=True):
        gray = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_2)
        assert gray.shape == (56, 56)
        small = cv2.resize(gray, (32, 32), interpolation=cv2.INTER_AREA).astype(float)
        low = dctn(small, type=2)[1:9, 1:9].ravel()
        bits = "".join("1" if value > np.median(low) else "0" for value in low)
        assert bin(int.from_bytes(int(hashed).to_bytes(8, "little"), "big") ^ int(bits, 2)).count("1") <= 1  # rounding
    assert hashes_of([]).shape == (0,)
    assert digest(b"x") == int.from_bytes(hashlib.blake2b(b"x", digest_size=8).digest(), "little")
    assert thumbnail(b"no image") is None and thumbnail(b"") is None


CHANGES = {
    "quality 50": lambda pixels: encode(pixels, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 50),
    "smaller and back": lambda pixels: encode(cv2.resize(cv2.resize(pixels, (64, 64)), (112, 112))),
    "brighter": lambda pixels: encode(cv2.convertScaleAbs(pixels, alpha=1, beta=15)),
    "flat": lambda pixels: encode(cv2.convertScaleAbs(pixels, alpha=0.8, beta=10)),
    "gray": lambda pixels: encode(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)),
    "blurred": lambda pixels: encode(cv2.GaussianBlur(pixels, (0, 0), 1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_pictures_are_still_copies(name):
    changed = [CHANGES[name](pixels) for pixels in PIXELS]
    near = bit_distances(hashes_of(FACES), hashes_of(changed)) <= DISTANCE
    pairs = [np.stack([thumbnail(image) for image in images]) for images in (FACES, changed)]
    assert (near & (differences(*pairs) <= DIFFERENCE)).mean() > 0.9


def test_different_pictures_are_none():
    thumbnails = np.stack([thumbnail(image) for image in FACES])
    first, second = np.triu_indices(len(FACES), 1)
    apart = differences(thumbnails[first], thumbnails[second])
    assert apart.min() > DIFFERENCE
    one, two = (thumbnails[i].astype(float) for i in (3, 4))
    one, two = ((each - each.mean()) / each.std() for each in (one, two))
    assert apart[(first == 3) & (second == 4)] == pytest.approx(np.sqrt(np.mean((one - two) ** 2)), abs=1e-5)
    blank = np.full((1, 56, 56), 7, np.uint8)
    assert differences(blank, blank + 90) == 0 and differences(blank, thumbnails[:1]) > DIFFERENCE


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("count", [0, 1, 2, 300, 3000])
def test_near_pairs_are_all_of_them(count, distance):
    rng = np.random.default_rng(count)
    hashes = rng.integers(0, 1 << 64, count, dtype=np.uint64)
    for i in range(count // 3):  # near relations of others, and bits that are often equal
        flips = rng.choice(64, rng.integers(1, 8), replace=False)
        hashes[i] = hashes[count // 3 + i // 2] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64))
    hashes[count // 2 :] &= np.uint64(0xFF00FF00FF00FFFF)
    hashes = rng.permutation(np.unique(hashes))
    octets = np.unpackbits(hashes[:, None].view(np.uint8), axis=1).astype(np.float32)
    apart = octets @ (1 - octets.T) + (1 - octets) @ octets.T
    expected = np.argwhere(np.triu(apart <= distance, 1))
    assert np.array_equal(near_pairs(hashes, distance), expected)
    assert count < 300 or len(expected)


def test_groups_against_their_definition():
    """Records of random pictures; copies are of equal digest, or near and said to be the same."""
    rng = np.random.default_rng(1)
    for _ in range(30):
        base = rng.integers(0, 1 << 64, 12, dtype=np.uint64)
        pictures = rng.integers(0, 40, 120)  # digests; picture p has the hash of base p % 12 with few bits flipped
        flips = np.array([np.uint64(0) if p < 12 else np.uint64(1) << np.uint64(p) for p in range(40)])
        hashes, digests = (base[np.arange(40) % 12] ^ flips)[pictures], pictures.astype(np.uint64)
        labels = rng.integers(0, 30, 120).astype(np.int32)
        liars = rng.random((40, 40)) < 0.5
        liars |= liars.T

        def same(pairs, pictures=pictures, liars=liars):
            return ~liars[pictures[pairs[:, 0]], pictures[pairs[:, 1]]]

        groups = find_groups(digests, hashes, labels, 2, same)
        group_of = {}
        for number, group in enumerate(groups):
            assert len(set(labels[group])) > 1 and (np.diff(group) > 0).all()
            group_of |= dict.fromkeys(group.tolist(), number)
        assert sum(map(len, groups)) == len(group_of)
        for i in range(120):
            for j in range(i):
                if pictures[i] == pictures[j] and labels[i] != labels[j]:
                    assert group_of[i] == group_of[j]
        everything = find_groups(digests, hashes, labels, 2, lambda pairs: np.ones(len(pairs), bool))
        expected = [np.flatnonzero(pictures % 12 == kind) for kind in range(12)]
        expected = [group for group in expected if len(set(labels[group])) > 1]
        assert [group.tolist() for group in everything] == sorted(group.tolist() for group in expected)


def test_nothing_under_one_label_is_a_group():
    digests = np.array([1, 1, 2, 3], np.uint64)
    assert find_groups(digests, digests, np.array([5, 5, 6, 7], np.int32), 0, lambda pairs: None) == []
    assert find_groups(digests[:0], digests[:0], np.array([], np.int32), 4, lambda pairs: None) == []
