"""AMP's loss scale: steps that are left out are counted, and its state goes into another graph.

OneFlow has no float16 on a CPU, but scales the loss there too, and leaves out steps whose gradients overflow.
"""

import numpy as np
import pytest

from engine.checkpoint_names import present_state
from tests.engine.cases import SCHEDULE
from tests.ranks import run_ranks


@pytest.fixture(scope="module", params=[1, 2])
def seen(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("loss_scale") / "rank"
    run_ranks(request.param, "tests/engine/loss_scale_worker.py", str(out))
    return [np.load(f"{out}-{rank}.npz") for rank in range(request.param)]


def test_steps_left_out_change_no_weight_and_are_counted_on_every_rank(seen):
    for rank in seen:
        changed = np.array([np.any(a != b) for a, b in zip(rank["weights"][1:], rank["weights"][:-1], strict=True)])
        counted = np.diff(np.concatenate([[0], rank["skipped"]])) == 0
        assert 2 < (~counted).sum() < len(counted) - 2
        # The rate goes on meanwhile, from 0 to 0: by the count of updates, others would change nothing.
        rates = np.array([SCHEDULE.at(step) for step in range(len(counted))])
        np.testing.assert_array_equal(changed, counted & (rates > 0))
        assert changed.any()


def test_the_scale_is_halved_by_each_step_left_out(seen):
    scales, skipped = seen[0]["scales"], seen[0]["skipped"]
    np.testing.assert_array_equal(scales, 2.0**127 / 2.0**skipped)
    for other in seen[1:]:
        np.testing.assert_array_equal(other["scales"], scales)


def test_another_graph_takes_the_state_up(seen):
    for rank in seen:
        assert rank["skipped_again"] == rank["skipped"][-1] > 0
        updates, scale, good = rank["before"]
        np.testing.assert_array_equal(rank["again"], [updates + 1, scale, good + 1])


def test_names_of_older_checkpoints_are_understood():
    old = {
        "System-Train-TrainStep": np.array([7]),
        "System-Train-DynamicLossScale-TrainGraph_3-LossScale": np.array([2.0]),
        "System-Train-DynamicLossScale-TrainGraph_3-GoodStepCounter": np.array([5]),
        "backbone.conv1.weight": np.array([1.0]),
        "loss.t": np.array([0.5]),
    }
    assert present_state(old, step=9) == {
        **{"updates": [7], "loss_scale": [2.0], "good_steps": [5], "backbone.conv1.weight/momentum": [1.0]},
        **{"loss.t": [0.5], "skipped": [2], "center_updates": [9]},
    }
    now = {"updates": np.array([3]), "center_updates": np.array([3]), "backbone.conv1.weight/m": np.array([1.0])}
    assert present_state(now, step=9) == now
