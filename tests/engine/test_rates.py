"""Which rate and which step each part of a training step is given, centers that are fetched ahead among them."""

from types import SimpleNamespace

import numpy as np
import pytest

from data.batch import Batch
from engine.step import TrainStep
from optim.parameters import ParameterRules
from tests.heads.stores.made import ALONE


class Head:
    """Notes what it is asked for: (what, step, rate, ...)."""

    def __init__(self, prefetches):
        self.store = SimpleNamespace(prefetches=prefetches)
        self.sampler = SimpleNamespace(takes_all=False, draw=self._draw)
        self.margin = SimpleNamespace(state={}, is_random=False)
        self.calls = []

    def _draw(self, step, labels):
        return SimpleNamespace(step=step, labels=labels)

    def place(self, sample, step, lr, fetched=None):
        self.calls.append(("place", sample.step, step, lr, fetched))

    def fetch(self, sample, step, lr):
        self.calls.append(("fetch", sample.step, step, lr))
        return f"centers of {step}"

    def refetch(self, sample, centers, trained, step, lr):
        self.calls.append(("refetch", sample.step, centers, trained.step, step, lr))

    def update(self, sample, results, step, lr, updates, micro):
        self.calls.append(("update", sample.step, step, lr, updates))


BATCH = Batch(np.zeros((2, 4)), np.array([0, 1]), np.array([5, 3]))


class Inner:
    """Notes what it runs with: (inputs, rate)."""

    trains = True

    def __init__(self):
        self.calls = []

    def run(self, images, slots, state, inputs, rate):
        self.calls.append((inputs, rate))
        return {"state": {}, "results": {}, "losses": {}}

    def restore(self, state):
        pass


def rate(step):
    return (step + 1) / 8


def trained(prefetches, multipliers):
    head, inner = Head(prefetches), Inner()
    step = TrainStep(inner, head, rate, ParameterRules(0.0, multipliers, (), True), ALONE)
    for upcoming in (BATCH.labels, BATCH.labels, None):
        step(BATCH, upcoming)
    assert inner.calls == [({}, 1 / 8), ({}, 2 / 8), ({}, 3 / 8)]
    return head.calls


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_all_parts_of_a_step_have_its_rate(factor):
    calls = trained(False, {"*": factor})
    rates = [factor * (step + 1) / 8 for step in range(3)]
    assert calls == [
        call
        for step, lr in enumerate(rates)
        for call in (("place", step, step, lr, None), ("update", step, step, lr, step))
    ]


def test_what_is_fetched_ahead_has_the_rate_of_the_coming_step():
    assert trained(True, {}) == [
        ("place", 0, 0, 1 / 8, None),
        ("fetch", 1, 1, 2 / 8),
        ("update", 0, 0, 1 / 8, 0),
        ("refetch", 1, "centers of 1", 0, 1, 2 / 8),
        ("place", 1, 1, 2 / 8, "centers of 1"),
        ("fetch", 2, 2, 3 / 8),
        ("update", 1, 1, 2 / 8, 1),
        ("refetch", 2, "centers of 2", 1, 2, 3 / 8),
        ("place", 2, 2, 3 / 8, "centers of 2"),
        ("update", 2, 2, 3 / 8, 2),
    ]


def test_layers_draw_by_the_step_of_the_run_and_the_records():
    inner, rules = Inner(), ParameterRules(0.0, {}, (), True)
    draws = SimpleNamespace(draw=lambda seed, step, records: {"kept": (seed, step, *records)})
    step = TrainStep(inner, Head(False), rate, rules, ALONE, seed=9, draws=draws)
    step(BATCH)
    step(BATCH)
    step.restore(1000, {})
    step(BATCH)
    assert inner.calls == [({"kept": (9, at, 5, 3)}, rate(at)) for at in (0, 1, 1000)]
