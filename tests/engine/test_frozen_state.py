"""What a step keeps for a backbone that is frozen at present: its optimizer goes on at the thaw, not from zeros."""

from types import SimpleNamespace

import numpy as np
import pytest

from engine.step import TrainStep
from optim.parameters import ParameterRules
from tests.heads.stores.made import ALONE

STATE = {
    "backbone.0.weight/momentum": np.arange(3.0),
    "updates": np.array([7]),
    "skipped": np.array([2]),
    "center_updates": np.array([9]),
}


class Inner:
    """Of a backbone that is trained or not."""

    def __init__(self, trains):
        self.trains, self.restored = trains, None

    def restore(self, state):
        self.restored = dict(state)

    def state(self):
        return self.restored if self.trains else {}

    def updates(self):
        return int(self.restored["updates"][0])


def step_of(trains):
    head = SimpleNamespace(
        store=SimpleNamespace(prefetches=False),
        sampler=SimpleNamespace(takes_all=True),
        margin=SimpleNamespace(state={}),
    )
    return TrainStep(Inner(trains), head, lambda step: 0.1, ParameterRules(0.0, {}, (), True), ALONE)


@pytest.mark.parametrize("trains", [True, False])
def test_a_state_goes_through(trains):
    step = step_of(trains)
    step.restore(9, STATE)
    assert step._step == 9
    state = step.state()
    assert state.keys() == STATE.keys()
    for name, array in STATE.items():
        np.testing.assert_array_equal(state[name], array)


def test_a_thawed_backbone_takes_up_what_a_frozen_one_has_kept():
    frozen, thawed = step_of(False), step_of(True)
    frozen.restore(9, STATE)
    thawed.restore(12, frozen.state())
    np.testing.assert_array_equal(thawed._inner.restored["backbone.0.weight/momentum"], np.arange(3.0))
    assert (thawed.skipped, thawed._center_updates) == (2, 9)


def test_a_state_without_counts_begins_from_zero():
    step = step_of(True)
    step.restore(5, {"updates": np.array([5])})
    assert (step.skipped, step._center_updates) == (0, 0)
