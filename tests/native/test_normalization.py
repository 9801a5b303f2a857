"""BatchNorm by native/ with what follows it, eager and compiled, against NumPy in float64."""

import pytest

from tests.native.normalization_cases import CASES
from tests.native.results import computed, difference


@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("name", CASES)
def test_outputs_gradients_and_statistics(name, mode):
    for end, expected in CASES[name].reference().items():
        assert difference(computed()[f"normalization/{name}/{mode}/{end}"], expected) < 1e-5, end


@pytest.mark.parametrize("mode", ["eager", "compiled"])
def test_an_older_cpu(mode):
    """One without AVX-512, all cases together."""
    for name, case in CASES.items():
        for end, expected in case.reference().items():
            assert difference(computed("AVX2")[f"normalization/{name}/{mode}/{end}"], expected) < 1e-5, (name, end)


@pytest.mark.parametrize("name", CASES)
def test_what_is_one_operator(name):
    case, kinds = CASES[name], list(computed()[f"normalization/{name}/kinds"])
    images = len(case.shape) == 4
    assert ("channels_last_normalization" in kinds) == images
    if images and not case.added:
        assert not {"prelu", "relu", "clip_by_scalar", "prelu_grad", "relu_grad", "clip_by_scalar_grad"} & set(kinds)
    if case.added and not case.activation:  # the one that is left adds the test's own sums
        assert kinds.count("add_n") == list(computed()["normalization/alone/kinds"]).count("add_n")
