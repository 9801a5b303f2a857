"""One picture under several identities: exact copies by digest, and copies that were encoded, scaled or relit.

A copy is looked for by a perceptual hash of 64 bits (pHash: Zauner, Implementation and Benchmarking of Perceptual
Image Hash Functions, 2010), the signs of the low frequencies of a cosine transform against their median. Hashes within
a few bits of each other are found by sorting them on several choices of their bits (Manku et al., Detecting
Near-Duplicates for Web Crawling, 2007), never by comparing all with all. Aligned faces are alike by themselves, so
what the hashes propose is compared pixel by pixel. Mirrored copies are not looked for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from utils.reading.images import decode

DISTANCE = 4  # bits of 64
DIFFERENCE = (
    0.3  # of two copies, see `differences`: 0.2 after JPEG quality 30; different drawings and photographs: from 0.33
)
_SIZE = 32  # pixels of the side that is transformed
_LOW = slice(1, 9)  # frequencies, without the constant
_PAIRS_AT_ONCE = 1 << 20


def digest(image: bytes) -> int:
    """64 bits of an encoded image's BLAKE2b; 42 million different images share one with a chance of 1 in 20,000."""
    return int.from_bytes(hashlib.blake2b(image, digest_size=8).digest(), "little")


def thumbnail(image: bytes) -> np.ndarray | None:
    """(56, 56) uint8 gray, decoded at half size, or None where the image does not decode."""
    return decode(image, cv2.IMREAD_REDUCED_GRAYSCALE_2)


def perceptual_hashes(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) uint64 of n thumbnails; copies of a picture differ in few bits, see `DISTANCE`."""
    if not len(thumbnails):
        return np.empty(0, np.uint64)
    small = [cv2.resize(each, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA) for each in thumbnails]
    rows = _COSINES @ np.stack(small).astype(np.float32) @ _COSINES.T
    values = rows.reshape(len(small), -1)
    bits = values > np.median(values, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far two pictures are apart, (n,), whatever their brightness and contrast: the root mean square of their
    difference, each brought to mean 0 and deviation 1. Thumbnails (n, H, W) uint8; 0 is equal, 1.4 is unrelated.
    """
    return (_standard(first) - _standard(second)).std(axis=(1, 2))


def near_pairs(hashes: np.ndarray, distance: int) -> np.ndarray:
    """All pairs (i, j), i < j, (pairs, 2) int64 sorted, of `hashes` (n,) uint64 that differ in 1 to `distance` bits.

    `hashes` are distinct. The bits are cut into blocks, so many more than `distance` that hashes this near agree in
    some choice of whole blocks that leaves a few to compare; each choice costs one sort of n numbers.
    """
    near_ones = [np.empty((0, 2), np.int64)]
    for mask in _masks(len(hashes), distance):
        order = np.argsort(hashes & mask, kind="stable")
        keys = hashes[order] & mask
        for left, right in _runs(keys):
            near = _bits(hashes[order[left]] ^ hashes[order[right]]) <= distance
            pairs = np.sort(np.stack([order[left[near]], order[right[near]]], axis=1), axis=1)
            if len(pairs):
                near_ones.append(pairs)
    return np.unique(np.concatenate(near_ones), axis=0)


def find_groups(
    digests: np.ndarray,
    hashes: np.ndarray,
    labels: np.ndarray,
    distance: int,
    same: Callable[[np.ndarray], np.ndarray],
) -> list[np.ndarray]:
    """Groups of records that show one picture under two or more labels, by their first record.

    Takes up to 120 bytes of memory a record, beside its arguments.

    Args:
        digests, hashes, labels: (n,) uint64, uint64 and int32 of n records.
        distance: bits in which the hashes of copies may differ.
        same: says of candidates, (pairs, 2) records, which are copies indeed, (pairs,) bool.

    Returns:
        The records of each group, rising.
    """
    _, first, picture = np.unique(digests, return_index=True, return_inverse=True)
    links = _candidates(hashes[first], distance)
    members = _across_labels(len(first), links, picture, labels)
    links = links[members[links[:, 0]]]
    links = links[same(first[links])] if len(links) else links
    several = _across_labels(len(first), links, picture, labels)
    records = np.flatnonzero(several[picture])
    group = _components(len(first), links)[picture[records]]
    records = records[np.argsort(group, kind="stable")]
    ends = np.cumsum(np.unique(group, return_counts=True)[1])[:-1]
    return sorted(np.split(records, ends), key=lambda each: each[0]) if len(records) else []


def bit_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """In how many bits hashes differ, (n,)."""
    return _bits(first ^ second)


def _candidates(hashes: np.ndarray, distance: int) -> np.ndarray:
    """Links (pairs, 2) between pictures of equal hash (each to the first of them) and of near hashes (the firsts)."""
    distinct, first, number = np.unique(hashes, return_index=True, return_inverse=True)
    equal = np.flatnonzero(first[number] != np.arange(len(hashes)))
    links = np.stack([first[number[equal]], equal], axis=1)
    return np.concatenate([links, first[near_pairs(distinct, distance)]]) if distance else links


def _across_labels(pictures: int, links: np.ndarray, picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which pictures, (pictures,) bool, are linked to a record of another label, or are such records themselves."""
    group = _components(pictures, links)
    lowest = np.full(pictures, np.iinfo(np.int32).max, np.int32)
    highest = np.full(pictures, -1, np.int32)
    np.minimum.at(lowest, group[picture], labels)
    np.maximum.at(highest, group[picture], labels)
    return (lowest < highest)[group]


def _components(pictures: int, links: np.ndarray) -> np.ndarray:
    """(pictures,) int32: the same number for all that links join."""
    graph = coo_matrix((np.ones(len(links), bool), (links[:, 0], links[:, 1])), (pictures, pictures))
    return connected_components(graph, directed=False)[1]


def _standard(thumbnails: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1, (n, H, W) float32; a blank picture stays one."""
    pixels = thumbnails.astype(np.float32)
    pixels -= pixels.mean(axis=(1, 2), keepdims=True)
    return pixels / np.maximum(pixels.std(axis=(1, 2), keepdims=True), 1)


def _masks(count: int, distance: int) -> Iterator[np.uint64]:
    """The choices of bits on which to sort: all ways to leave out `distance` of the blocks."""
    kept = 1
    while 64 * kept / (distance + kept) < math.log2(max(count, 2)) and kept < 4:
        kept += 1
    edges = np.linspace(0, 64, distance + kept + 1).astype(int)
    blocks = [((1 << int(end)) - 1) ^ ((1 << int(start)) - 1) for start, end in pairwise(edges)]
    for choice in combinations(blocks, kept):
        yield np.uint64(sum(choice))


def _runs(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All pairs of places with equal keys (sorted), some at a time."""
    left, shift = np.arange(len(keys)), 1
    while len(left := left[left + shift < len(keys)]):
        left = left[keys[left] == keys[left + shift]]
        for start in range(0, len(left), _PAIRS_AT_ONCE):
            part = left[start : start + _PAIRS_AT_ONCE]
            yield part, part + shift
        shift += 1


def _bits(numbers: np.ndarray) -> np.ndarray:
    """How many bits of each uint64 are set."""
    return _BITS_OF_BYTE[numbers[:, None].view(np.uint8)].sum(axis=1)


def _cosines() -> np.ndarray:
    """(8, 32) float32: the rows of the cosine transform (type II) that the hash uses."""
    places = np.arange(_SIZE) + 0.5
    return np.cos(np.pi / _SIZE * np.outer(np.arange(_SIZE)[_LOW], places)).astype(np.float32)


_COSINES = _cosines()
_BITS_OF_BYTE = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)
