"""Each family of networks on two ranks, compiled and eager, trains as on one with all images.

With BatchNorm's statistics fixed, or synchronized; otherwise each rank has its own by design.
"""

import functools

import numpy as np
import pytest

from tests.backbones.ranks_worker import CASES, STEPS, step_of
from tests.ranks import run_ranks
from utils.runtime import start_runtime

_COUNT = "num_batches_tracked"  # which a compiled step cannot keep, and nothing reads
_ROUNDING = 0.1  # some parameters move by nothing else: biases that a BatchNorm takes away again


@pytest.fixture(scope="module")
def on_two_ranks(tmp_path_factory):
    out = tmp_path_factory.mktemp("ranks") / "rank"
    run_ranks(2, "tests/backbones/ranks_worker.py", str(out))
    return [np.load(f"{out}-{rank}.npz") for rank in range(2)]


@functools.cache
def on_one_rank(case):
    return step_of(case, "eager", start_runtime("cpu"))


@pytest.mark.parametrize("mode", STEPS)
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_train_as_one(on_two_ranks, case, mode):
    alone, errors = on_one_rank(case), {}
    for seen in on_two_ranks:
        own = {key: seen[f"{case}/{mode}/{key}"] for key in alone}
        assert own["loss"] == pytest.approx(alone["loss"], rel=1e-5)
        for key in [key for key in alone if f"before/{key}" in alone and not key.endswith(_COUNT)]:
            start = alone[f"before/{key}"]
            np.testing.assert_array_equal(own[f"before/{key}"], start)
            moved = np.linalg.norm(alone[key] - start)
            errors[key] = np.linalg.norm(own[key] - alone[key]) / (moved + _ROUNDING)
    assert max(errors.values()) < 1e-5, max(errors, key=errors.get)
