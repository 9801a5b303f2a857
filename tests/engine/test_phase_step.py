"""What a training step's state is good for after another phase, or under another config."""

import numpy as np
import pytest
from oneflow import nn

from engine.phase_step import carried_state, check_phase, trained_with
from utils.config import load_config
from utils.errors import UserError

STATE = {
    "backbone.0.weight/momentum": np.ones(3),
    "updates": np.array([7]),
    "center_updates": np.array([9]),
    "skipped": np.array([2]),
    "loss_scale": np.array([4.0]),
    "loss.t": np.array([0.5]),
}


def config(*overrides):
    return load_config("demo", ["loss=curricularface", *overrides])


def carried(*overrides, centers=True):
    return set(carried_state(STATE, trained_with(config()), trained_with(config(*overrides)), centers))


def test_all_goes_on_if_nothing_changes():
    assert carried("lr=0.5", "momentum=0.5", "weight_decay=0.1") == set(STATE)


def test_slots_and_their_count_go_on_with_the_same_optimizer_alone():
    assert carried("optimizer=adamw", "head_optimizer=sgd") == set(STATE) - {"backbone.0.weight/momentum", "updates"}
    assert carried("head_optimizer=adamw") == set(STATE) - {"center_updates"}
    assert carried(centers=False) == set(STATE) - {"center_updates"}  # the store could not keep them


def test_the_state_of_a_loss_goes_on_with_the_same_loss_alone():
    assert carried("loss=curricularface(m=0.4)") == set(STATE) - {"loss.t"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["optimizer=lamb"], "lamb looks at a whole tensor"),
        (["optimizer=adamw", "correct_skipped=True", "sample_rate=0.5"], "no closed form"),
        (["frozen=backbone.2.*"], 'no parameter is called as the pattern "backbone.2'),
        (["lr_multipliers=head.bias:2"], "head.bias"),
        (["loss=softmax", "interclass_filtering_threshold=0.4"], "is a cosine"),
        (["optimizer=sgd(momentum=1)"], "momentum = 1 of sgd is not possible"),
    ],
)
def test_what_a_phase_cannot_be_is_one_sentence(overrides, words):
    backbone = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    check_phase(load_config("demo", ["frozen=backbone.1.*", "lr_multipliers=head.weight:2"]), backbone, False)
    with pytest.raises(UserError, match=words):
        check_phase(load_config("demo", overrides), backbone, False)
