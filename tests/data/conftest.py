"""Fixtures of several files."""

import numpy as np
import pytest

from tests.data.mxnet_sets import picture


@pytest.fixture
def face():
    """A picture with detail in it, (112, 112, 3) uint8 RGB."""
    noise = np.random.default_rng(0).normal(0, 20, (112, 112, 3))
    return np.clip(picture(3) + noise, 0, 255).astype(np.uint8)
