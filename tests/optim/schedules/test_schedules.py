"""Every schedule at every step, against formulas written from recipes and papers."""

import numpy as np
import pytest
from easydict import EasyDict

from optim.schedules import Schedule, Span, configured_schedule, list_schedules, make_curve
from utils.errors import UserError

LR = 0.3


def polynomial(t, span, power=2.0):
    return LR * (1 - (t - span.warmup) / (span.steps - span.warmup)) ** power


def multistep(t, span, epochs=(1, 2), rate=0.1):
    return LR * np.prod([rate if t >= round(e * span.steps_per_epoch) else 1.0 for e in epochs])


def exponential(t, span, decay=0.05, lr_min=0.0, whole_epochs=False):
    epochs = (t - span.warmup) / span.steps_per_epoch
    return max(lr_min, LR * np.exp(-decay * (np.floor(epochs) if whole_epochs else epochs)))


def cosine(t, span, first=0.0, t_mul=2.0, m_mul=1.0, lr_min=0.0):
    """Cycles end at first, 3 first, 7 first ... epochs if t_mul is 2."""
    epochs, length = (t - span.warmup) / span.steps_per_epoch, first
    if not first:
        length = (span.steps - span.warmup) / span.steps_per_epoch
    alpha, cycle = lr_min / LR, 0
    while first and epochs >= length:
        epochs, length, cycle = epochs - length, length * t_mul, cycle + 1
    return LR * ((1 - alpha) * m_mul**cycle * (1 + np.cos(np.pi * epochs / length)) / 2 + alpha)


def constant(t, span):
    return LR


FORMULAS = {f.__name__: f for f in (polynomial, multistep, exponential, cosine, constant)}
PARAMETERS = {
    "polynomial": [{}, {"power": 1.0}],
    "multistep": [{"epochs": (1, 2)}, {"epochs": (0.5, 1.25, 2.9), "rate": 0.5}],
    "exponential": [{}, {"decay": 0.7, "lr_min": 0.1}, {"decay": 0.7, "whole_epochs": True}],
    "cosine": [{}, {"lr_min": 0.01}, {"first": 0.5, "m_mul": 0.5, "lr_min": 0.02}, {"first": 0.75, "t_mul": 1.0}],
    "constant": [{}],
}
SPANS = [Span(LR, 120, 0, 40), Span(LR, 120, 13, 40), Span(LR, 120, 119, 40), Span(LR, 1, 0, 1)]


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize(("name", "parameters"), [(n, p) for n in list_schedules() for p in PARAMETERS[n]])
def test_every_step_is_the_formula(name, parameters, span):
    schedule = Schedule(make_curve(name, **parameters), span)
    for t in range(span.steps):
        expected = LR * t / span.warmup if t < span.warmup else FORMULAS[name](t, span, **parameters)
        assert schedule.at(t) == pytest.approx(expected, rel=1e-9, abs=1e-12), t


def test_cosine_restarts_after_24_72_and_168_epochs():
    schedule = Schedule(make_curve("cosine", first=24, m_mul=0.5), Span(0.1, 2000, 0, 10))
    restarts = [t for t in range(1, 2000) if schedule.at(t) > schedule.at(t - 1)]
    assert restarts == [240, 720, 1680]
    assert [schedule.at(t) for t in restarts] == pytest.approx([0.05, 0.025, 0.0125])


BASE = {
    "lr": 0.1, "lr_schedule": "polynomial", "lr_power": 1.0, "decay_epoch": (), "decay_rate": 0.2, "num_epoch": 20,
    "warmup_epoch": 0,
}  # fmt: skip


def configured(**changed):
    return configured_schedule(EasyDict(BASE, **changed), 10)


def test_what_a_schedule_does_not_state_it_takes_from_the_keys_of_insightface():
    assert configured().curve.power == 1.0
    assert configured(lr_schedule="polynomial(power=3)").curve.power == 3
    steps = configured(lr_schedule="multistep", decay_epoch=(4, 8)).curve
    assert (steps.epochs, steps.rate) == ((4, 8), 0.2)
    assert configured(lr_schedule="multistep(epochs=(2.5,))", warmup_epoch=1).at(25) == pytest.approx(0.02)
    assert configured(lr_schedule="constant", warmup_epoch=2).at(10) == 0.05


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("polynomial(power=0)", "above 0"),
        ("multistep", "decay_epoch"),
        ("multistep(epochs=(8, 4))", "later than the one before"),
        ("multistep(epochs=(8, 20))", "before num_epoch"),
        ("multistep(epochs=(8,), rate=2)", "at most 1"),
        ("exponential(lr_min=0.2)", "lr_min"),
        ("exponential(decay=0)", "decay"),
        ("cosine(lr_min=-1)", "lr_min"),
        ("cosine(first=-1)", "first"),
        ("cosine(first=2, m_mul=3)", "m_mul"),
    ],
)
def test_impossible_values_are_refused_with_a_sentence(schedule, words):
    with pytest.raises(UserError, match=words):
        configured(lr_schedule=schedule)


@pytest.mark.parametrize(
    "schedule",
    [
        *(
            "polynomial(power=0.1)",
            "exponential(decay=0.01, lr_min=0)",
            "exponential(lr_min=0.1)",
            "cosine(lr_min=0.1)",
        ),
        *("cosine(first=1, t_mul=1)", "cosine(first=0, m_mul=1)", "multistep(epochs=(0.1, 19.9), rate=1)"),
    ],
)
def test_values_at_the_limits_are_possible(schedule):
    assert 0 < configured(lr_schedule=schedule).at(5) <= 0.1


@pytest.mark.parametrize("warmup", [0.99, 3])
def test_a_run_never_warms_up_to_its_very_end(warmup):
    assert configured(num_epoch=1, warmup_epoch=warmup).at(8) == pytest.approx(0.1 * 8 / 9)
    assert configured(num_epoch=1, warmup_epoch=warmup).at(9) == pytest.approx(0.1)
