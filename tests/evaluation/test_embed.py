"""The embedding pass over a set: sharing between ranks, mirror images, and sets refused before a run begins."""

import numpy as np
import pytest

from evaluation.bin_set import write_bin
from evaluation.embed import embed_set, load_bin_sets
from tests.data.mxnet_sets import jpegs
from utils.errors import UserError


def embed(images):
    """Something that a mirror image and every pixel change."""
    weights = np.linspace(-1, 1, 112 * 112 * 3).reshape(112, 112, 3)
    return np.stack([(images * weights).sum(axis=(1, 2, 3)), images[:, 0, 0, 0]], axis=1).astype(np.float32)


@pytest.fixture
def images(tmp_path):
    write_bin(tmp_path / "set.bin", jpegs(22), [True, False] * 5 + [True])
    return load_bin_sets(["set"], tmp_path)["set"]


@pytest.mark.parametrize(("ranks", "batch"), [(1, 4), (2, 3), (3, 50), (30, 2)])
def test_ranks_share_the_work_and_all_have_the_whole(images, ranks, batch):
    pixels = images.decode(0, 22)
    expected = embed(pixels), embed(pixels[:, :, ::-1])
    shares = []
    for rank in range(ranks):
        embed_set(embed, images, batch, rank, ranks, lambda rows, counts: shares.append(rows) or np.zeros((22, 4)))
    together = np.hsplit(np.concatenate(shares), 2)
    for found, wanted in zip(together, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    for found, wanted in zip(embed_set(embed, images, batch), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_an_image_that_does_not_decode_is_found_before_the_run(tmp_path):
    write_bin(tmp_path / "bad.bin", [*jpegs(21), b"\xff\xd8 no image"], [True] * 11)
    with pytest.raises(UserError, match=r"bad\.bin: image 21"):
        load_bin_sets(["bad"], tmp_path)


def test_a_set_too_small_for_the_folds_is_refused(tmp_path):
    write_bin(tmp_path / "few.bin", jpegs(18), [True] * 9)
    with pytest.raises(UserError, match="holds 9 pairs"):
        load_bin_sets(["few"], tmp_path)
