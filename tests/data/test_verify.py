"""Parts are looked at before a run: each way finds what it is for, and whole sets pass."""

import shutil
from pathlib import Path

import pytest

from data.loader import RecordLoader
from data.manifest import Manifest, read_index
from data.ofrecord import index_path, write_index
from data.verify import WAYS, verify_parts
from tests.data.mxnet_sets import jpegs
from tests.data.ofrecord_sets import make_set
from utils.errors import UserError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_set(tmp_path_factory.mktemp("verify") / "set", jpegs(40), [0, 1] * 20, 2, parts=2)


@pytest.fixture
def dataset(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "set"))


def change(path, at, value=0xFF):
    content = bytearray(path.read_bytes())
    content[at] ^= value
    path.write_bytes(content)


def ways_that_find(folder, **share):
    """The ways of verifying that find damage."""
    wrong = []
    for way in WAYS:
        try:
            verify_parts(folder, Manifest.load(folder), way, **share)
        except UserError as error:
            assert "part-0000" in str(error) and "is damaged" in str(error)
            wrong.append(way)
    return wrong


def test_a_whole_set_passes(dataset):
    assert ways_that_find(dataset) == []


def test_a_bit_in_the_middle_of_an_image(dataset):
    entry = read_index(index_path(dataset / "part-00001"))[9]
    change(dataset / "part-00001", int(entry["offset"] + entry["length"] // 2), 1)
    assert ways_that_find(dataset) == ["full"]
    assert ways_that_find(dataset, rank=0, ranks=2) == [] and ways_that_find(dataset, rank=1, ranks=2) == ["full"]
    RecordLoader(dataset, 4)
    with pytest.raises(UserError, match="its checksum is not the one"):
        RecordLoader(dataset, 4, verify_data="full")


def test_zeros_in_place_of_a_part(dataset):
    path = dataset / "part-00000"
    path.write_bytes(bytes(path.stat().st_size))
    assert ways_that_find(dataset) == ["headers", "full"]
    with pytest.raises(UserError, match="its first record is not what its sidecar says"):
        RecordLoader(dataset, 4)
    RecordLoader(dataset, 4, verify_data="off")


def test_the_end_of_a_part_is_gone(dataset):
    path = dataset / "part-00000"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2] + bytes(size - size // 2))
    assert ways_that_find(dataset) == ["headers", "full"]


def test_a_label_in_a_sidecar(dataset):
    part = dataset / "part-00000"
    index = read_index(index_path(part)).copy()
    index["label"][7] = 1 - index["label"][7]
    write_index(part, index)
    assert ways_that_find(dataset) == ["full"]
