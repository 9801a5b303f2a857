"""Fixtures of the tests of conversion."""

import pytest

from tests.data.mxnet_sets import write_set
from tests.preparation.convert.faces import IMAGES, LABELS


@pytest.fixture
def source(tmp_path):
    return write_set(tmp_path / "faces", IMAGES, LABELS)
