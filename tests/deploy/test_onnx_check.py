"""How far an ONNX model is from its network: the worst image of the worst batch says it."""

import math

import numpy as np
import pytest

from deploy.onnx_check import BATCH_SIZES, IMAGES, compare, worst

REFERENCE = np.random.default_rng(0).normal(size=(IMAGES, 8)).astype("f")
FACES = np.zeros((IMAGES, 2, 2, 3), np.uint8)


def differences(spoil):
    """Of a model whose embeddings are the reference's but for what `spoil` does to those of a batch."""

    def embed(images):
        embeddings = REFERENCE[: len(images)].copy()
        spoil(embeddings)
        return embeddings

    return compare(embed, lambda images: REFERENCE, FACES)


def test_equal_embeddings():
    by_batch = differences(lambda batch: None)
    assert [one.batch_size for one in by_batch] == list(BATCH_SIZES)
    assert all(one.largest == 0 and one.cosine == pytest.approx(1) for one in by_batch)


def test_one_image_of_the_largest_batch_counts_in_full():
    def spoil(batch):
        if len(batch) == IMAGES:
            batch[3] *= -1

    by_batch = differences(spoil)
    assert worst(by_batch) is by_batch[-1] and worst(by_batch).cosine == pytest.approx(-1)
    assert by_batch[-1].largest == pytest.approx(2 * np.abs(REFERENCE[3]).max())
    assert by_batch[0].cosine == pytest.approx(1)


def test_no_number_is_the_worst_of_all():
    def spoil(batch):
        if len(batch) == BATCH_SIZES[1]:
            batch[0] = np.nan
        else:
            batch[0] *= -1

    assert math.isnan(worst(differences(spoil)).cosine)
