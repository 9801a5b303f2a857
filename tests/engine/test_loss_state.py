"""A loss's state and random numbers survive a checkpoint: the run that goes on from it ends with the same bits."""

import functools

import numpy as np
import pytest

from tests.ranks import run_ranks

STATES = {
    "adaface": {"mean": 20.0, "std": 100.0},
    "curricularface": {"t": 0.0},
    "adaface_accumulation": {"mean": 20.0, "std": 100.0},
    "sampled_curricularface": {"t": 0.0},
    "hard_others_accumulation": {"hardness": 0.1},
    "sampled_random_angle": {},
    "triplet_accumulation": {},
    "center_accumulation": {},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(mode, ranks) -> what the ranks wrote."""

    @functools.cache
    def train(mode, ranks):
        out = tmp_path_factory.mktemp(mode) / "rank"
        run_ranks(ranks, "tests/engine/loss_state_worker.py", mode, str(out), *STATES)
        return [np.load(f"{out}-{rank}.npz") for rank in range(ranks)]

    return train


@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_a_restored_step_goes_on_to_the_bit(trained, mode, ranks, case):
    for seen in trained(mode, ranks):
        ends = {
            end: {n.removeprefix(f"{case}/{end}/"): seen[n] for n in seen.files if n.startswith(f"{case}/{end}/")}
            for end in ("saved", "undisturbed", "again")
        }
        for name, first in STATES[case].items():
            values = [first, *(ends[end][f"state/loss.{name}"].item() for end in ("saved", "undisturbed"))]
            assert len(set(values)) == 3  # it moves, so equality means something
            assert ends["saved"][f"state/loss.{name}"].shape == (1,)
        assert set(ends["again"]) == set(ends["undisturbed"])
        for name, value in ends["undisturbed"].items():
            np.testing.assert_array_equal(ends["again"][name], value, err_msg=name)


@pytest.mark.parametrize("case", STATES)
@pytest.mark.parametrize("mode", ["graph", "eager"])
def test_the_state_is_the_same_on_all_ranks(trained, mode, case):
    first, second = trained(mode, 2)
    for name in STATES[case]:
        key = f"{case}/undisturbed/state/loss.{name}"
        np.testing.assert_array_equal(first[key], second[key])
