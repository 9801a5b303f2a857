"""LayerNorm, softmax, GELU, matrix products, sums and permutations of `native/`, with their gradients."""

import numpy as np
import pytest

from tests.native.own import check_empty, check_equal, computed
from tests.native.transformer_cases import CASES, EMPTY

MODULE = "tests.native.transformer_cases"


@pytest.mark.parametrize("name", CASES)
def test_equals_oneflow_in_float64(name):
    check_equal(computed(MODULE), name)


@pytest.mark.parametrize("name", EMPTY)
def test_empty(name):
    check_empty(computed(MODULE), name, EMPTY[name][2])


def test_softmax_ends_at_zero():
    masked = computed(MODULE)["softmax, masked/32/0"]
    assert (masked == 0).any() and np.allclose(masked.sum(1), 1, atol=1e-6)
