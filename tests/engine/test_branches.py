"""The cases of test_step.py take every branch of their loss: else equality with NumPy would mean little."""

import numpy as np
import pytest

from tests import reference
from tests.engine.cases import CASES, SCHEDULE, STEPS, batches, initial_parameters, random_numbers, settings
from tests.losses.extra_margins import margin_of
from tests.losses.formulas import magface_margin


def seen_by(case):
    """The loss's parameters, and what the formulas get in `STEPS` steps with all classes: cosine (n, 1), norm (n, 1),
    others (n, C), the target's -inf, and the state of each row (n, 1) by name."""
    wanted, seen = settings(case), []
    given = batches(wanted["gradient_acc"], wanted["classes"], wanted["labels"])
    reference.train(
        initial_parameters(wanted["batch_norm"], wanted["classes"]),
        given,
        [SCHEDULE.at(step) for step in range(STEPS)],
        gradient_acc=wanted["gradient_acc"],
        state=margin_of(wanted["loss"], **wanted["parameters"]).state,
        seen=seen,
        random=random_numbers(given),
        **{key: wanted[key] for key in ("loss", "parameters", "filtering")},
    )
    cosine, norm, others = (np.concatenate([rows[i] for rows in seen]) for i in range(3))
    states = {name: np.concatenate([np.full_like(rows[0], rows[3][name]) for rows in seen]) for name in seen[0][3]}
    return wanted["parameters"], cosine, norm, others, states


def cases_of(loss):
    return pytest.mark.parametrize("case", [case for case in CASES if settings(case)["loss"] == loss])


def both(condition):
    """Whether it holds for some rows and not for others, at least 2 of each."""
    return 2 <= condition.sum() <= condition.size - 2


@cases_of("adaface")
def test_adaface_clips_its_quality_at_both_ends(case):
    parameters, _, norm, _, state = seen_by(case)
    quality = parameters["h"] * (norm - state["mean"]) / (state["std"] + 1e-3)
    assert both(quality < -1) and both(quality > 1) and both(np.abs(quality) < 1)


@cases_of("curricularface")
def test_curricularface_has_hard_others_and_targets_beyond_the_angle(case):
    parameters, cosine, _, others, state = seen_by(case)
    assert both(others > np.cos(np.arccos(cosine) + parameters["m"]))
    assert both(cosine > np.cos(np.pi - parameters["m"]))
    assert np.abs(state["t"]).max() > 0.02


@cases_of("hard_others")
def test_hard_others_are_there_and_missing_and_move_the_state(case):
    parameters, cosine, _, others, state = seen_by(case)
    hard = others > np.cos(np.arccos(cosine) + parameters["m"])
    assert both(hard) and both(hard.any(axis=1)) and both(cosine > 0)
    assert np.ptp(state["hardness"]) > 0.01


@cases_of("magface")
def test_magface_clamps_norms_at_both_ends_and_has_targets_beyond_the_angle(case):
    parameters, cosine, norm, _, _ = seen_by(case)
    assert both(norm < parameters["l_a"]) and both(norm > parameters["u_a"])
    moving = (norm > parameters["l_a"]) & (norm < parameters["u_a"])
    assert both(moving)
    if parameters.get("easy_margin", True):
        beyond = cosine < 0
    else:
        m, _ = magface_margin(norm, **{name: value for name, value in parameters.items() if name != "easy_margin"})
        beyond = cosine < np.cos(np.pi - m)
    assert both(beyond & moving) and both(~beyond & moving)


@cases_of("magcosface")
def test_magcosface_clamps_norms_at_both_ends(case):
    parameters, _, norm, _, _ = seen_by(case)
    assert both(norm < parameters["l_a"]) and both(norm > parameters["u_a"])
