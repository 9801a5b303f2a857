"""Convolutions by native/, eager (channels first) and compiled (channels last), against NumPy in float64."""

import numpy as np
import pytest

from tests.native.convolution_cases import CASES
from tests.native.results import computed, difference


@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_and_gradients(name, mode):
    for i, expected in enumerate(CASES[name].reference()):
        assert difference(computed()[f"convolution/{name}/{mode}/{i}"], expected) < 1e-5


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_an_older_cpu(mode):
    """One without AVX-512, all convolutions together."""
    for name, case in CASES.items():
        for i, expected in enumerate(case.reference()):
            assert difference(computed("AVX2")[f"convolution/{name}/{mode}/{i}"], expected) < 1e-5, name


def test_an_input_in_several_pieces():
    assert np.array_equal(*computed()["sliced"])


def test_double_precision_stays_with_oneflow():
    assert computed()["double"].dtype == np.float64
    assert 0 < np.abs(computed()["double"]).max() < 1e-4


def test_no_images():
    empty = {name.removeprefix("empty/"): value for name, value in computed().items() if name.startswith("empty/")}
    lengths = {name: len(value) for name, value in empty.items() if value.ndim == 4}
    assert lengths == {"y": 0, "x": 0, "weight": 8, "normal": 0, "dx": 0}
    assert not any(value.any() for value in empty.values())


def test_scratch_memory_is_counted():
    assert 0 < computed()["scratch"] < 64 * 2**20
