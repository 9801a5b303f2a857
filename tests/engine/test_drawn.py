"""What layers draw, in both steps: the same on any number of ranks, in micro-batches and after a resumption."""

import functools

import numpy as np
import pytest

from tests.engine.drawn_worker import CASES
from tests.ranks import run_ranks


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """ranks -> what its first rank saw."""

    @functools.cache
    def train(ranks):
        out = tmp_path_factory.mktemp("drawn") / "rank"
        run_ranks(ranks, "tests/engine/drawn_worker.py", str(out), *CASES)
        return np.load(f"{out}-0.npz")

    return train


def of_case(arrays, case):
    return {name.partition("/")[2]: arrays[name] for name in arrays.files if name.startswith(f"{case}/")}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_any_way_of_sharing_a_batch_trains_alike(trained, ranks, case):
    expected, actual = of_case(trained(1), "eager-1"), of_case(trained(ranks), case)
    assert np.ptp(expected["losses"]) > 0.1  # something was learned, so that equality means something
    np.testing.assert_allclose(actual["losses"], expected["losses"], rtol=1e-4)
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", ["graph-2", "eager-2"])
def test_a_resumed_run_is_the_same_to_the_last_bit(trained, ranks, case):
    arrays = of_case(trained(ranks), case)
    resumed = [name for name in arrays if name.startswith("resumed.")]
    assert "resumed.mask_token" in resumed
    for name in resumed:
        np.testing.assert_array_equal(arrays[name], arrays[name.removeprefix("resumed.")], err_msg=name)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", ["graph-2", "eager-2"])
def test_what_one_step_has_saved_the_other_goes_on_with(trained, ranks, case):
    """Compiled after eager, and eager after compiled: Adam's count of updates too."""
    arrays = of_case(trained(ranks), case)
    crossed = [name for name in arrays if name.startswith("crossed.")]
    assert "crossed.mask_token" in crossed
    for name in crossed:
        np.testing.assert_allclose(arrays[name], arrays[name.removeprefix("crossed.")], atol=2e-4, err_msg=name)
