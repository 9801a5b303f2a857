"""A run that states no image_size takes that of its dataset."""

import pytest

from data.stored_size import network_size
from tests.data.mxnet_sets import jpegs
from tests.data.ofrecord_sets import make_set
from utils.config import load_config
from utils.errors import UserError


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("wide") / "of", jpegs(4, (96, 128)), [0, 0, 1, 1], 2, 1, size=(96, 128))


def test_the_sets_own_unless_it_is_stated(wide):
    data = [f"ofrecord_path={wide}"]
    assert network_size(load_config("base", data)) == (96, 128)
    assert network_size(load_config("base", [*data, "image_size=64"])) == (64, 64)
    assert network_size(load_config("base", [*data, "image_size=None"])) == (96, 128)


def test_112_where_there_is_no_set(wide, tmp_path):
    assert network_size(load_config("base", [f"ofrecord_path={tmp_path / 'nowhere'}"])) == (112, 112)
    synthetic = ["synthetic=True", "num_classes=9", "num_image=999"]
    assert network_size(load_config("base", [*synthetic, f"ofrecord_path={wide}"])) == (112, 112)
    assert network_size(load_config("base", [], require_data=False)) == (112, 112)


def test_a_set_that_fits_no_network(tmp_path):
    odd = make_set(tmp_path / "odd", jpegs(4, (100, 112)), [0, 0, 1, 1], 2, 1, size=(100, 112))
    with pytest.raises(UserError, match=r"odd holds 100x112 images, .*; set image_size, .* multiples of 16"):
        network_size(load_config("base", [f"ofrecord_path={odd}"]))
    assert network_size(load_config("base", [f"ofrecord_path={odd}", "image_size=112"])) == (112, 112)
