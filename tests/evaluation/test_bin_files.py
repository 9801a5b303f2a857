"""Verification sets as folders of images; tests/tools/test_bin_to_images.py has the command."""

import pytest

from evaluation.bin_files import FLIPPED, IMAGES, PAIRS, unpack
from evaluation.bin_set import write_bin
from tests.data.mxnet_sets import encode, jpegs, picture
from utils.errors import UserError


def test_nothing_but_images_and_their_list_unless_more_is_asked_for(tmp_path):
    images = [*jpegs(3), encode(picture(3), ".bmp")]
    write_bin(tmp_path / "set.bin", images, [True, False])
    done = unpack(tmp_path / "set.bin", tmp_path / "out")
    assert (done.images, done.pairs, done.encoded) == (4, 2, 1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {IMAGES, PAIRS}
    with pytest.raises(UserError, match="exists; --force"):
        unpack(tmp_path / "set.bin", tmp_path / "out")
    unpack(tmp_path / "set.bin", tmp_path / "out", flip=True, force=True)
    assert len(list((tmp_path / "out" / FLIPPED).iterdir())) == 4
