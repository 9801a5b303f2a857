"""normalization_add_relu of `native/`, with its gradients."""

import pytest

from tests.native.added_cases import CASES
from tests.native.own import check_equal, computed


@pytest.mark.parametrize("name", CASES)
def test_equals_oneflow_in_float64(name):
    check_equal(computed("tests.native.added_cases"), name)
