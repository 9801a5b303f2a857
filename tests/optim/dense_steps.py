"""Every optimizer over 50 steps on whole tensors, compiled and eager, against NumPy."""

import numpy as np
import oneflow as flow
import pytest
from oneflow import nn

from engine.graph import TrainGraph
from optim import list_optimizers, make_optimizer
from optim.compiled import LearningRate
from optim.eager import EagerUpdate
from optim.parameters import ParameterRules
from optim.schedules import Schedule, Span, list_schedules, make_curve
from tests.optim.formulas import OPTIMIZERS

PLACEMENT, STEPS, DECAY, CLIP = flow.placement("cpu", ranks=[0]), 50, 0.1, 3.0
RULES = ParameterRules(DECAY, {"wide": 0.3}, (), decays_vectors=False)
TERMS = {"wide": (0.3, DECAY), "long": (1.0, 0.0)}  # factor of the rate, weight decay
SCHEDULE = Schedule(make_curve("cosine", lr_min=1e-3), Span(0.02, STEPS, warmup=5))


class Given(nn.Module):
    """Parameters whose gradients are given: the objective is their product.

    Products of large matrices make a step take a millisecond: OneFlow sometimes crashes on compiled steps that end
    while they are launched (LazyJobStreamPolicy).
    """

    def __init__(self, values):
        super().__init__()
        self.wide, self.long = (nn.Parameter(flow.tensor(values[name])) for name in TERMS)
        self.register_buffer("large", flow.ones(300, 300) * 1e-3)

    def forward(self, wide, long, state, inputs):
        product = self.large
        for _ in range(6):
            product = flow.matmul(product, self.large)
        objective = (self.wide * wide).sum() + (self.long * long).sum() + product.sum() * 0.0
        return objective, {"losses": {"loss": objective}}


def drawn():
    rng = np.random.default_rng(1)
    start = {"wide": rng.normal(size=(4, 3)).astype("f"), "long": rng.normal(size=5).astype("f")}
    # Some steps are clipped, some are not.
    gradients = [{n: (rng.normal(size=v.shape) * rng.uniform(0.1, 2)).astype("f") for n, v in start.items()}
                 for _ in range(STEPS)]  # fmt: skip
    return start, gradients


def expected(optimizer):
    weights, gradients = drawn()
    weights, kept = {n: v.astype("d") for n, v in weights.items()}, {n: {} for n in weights}
    for step, gradient in enumerate(gradients):
        norm = np.sqrt(sum((g.astype("d") ** 2).sum() for g in gradient.values()))
        for name, (factor, decay) in TERMS.items():
            g = gradient[name].astype("d") * min(1, CLIP / (norm + 1e-6))
            lr = SCHEDULE.at(step) * factor
            weights[name], kept[name] = OPTIMIZERS[optimizer](weights[name], kept[name], g, lr, decay, step + 1)
    return weights, kept


def check(model, optimizer, state):
    weights, kept = expected(optimizer)
    for name, value in weights.items():
        np.testing.assert_allclose(getattr(model, name).numpy(), value, rtol=1e-5, atol=1e-5)
        for slot, values in kept[name].items():
            np.testing.assert_allclose(state[f"{name}/{slot}"], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", list_optimizers())
def test_eager_steps_equal_numpy(optimizer):
    start, gradients = drawn()
    model = Given(start)
    update = EagerUpdate(make_optimizer(optimizer), dict(model.named_parameters()), RULES, CLIP)
    for step, gradient in enumerate(gradients):
        model(*(flow.tensor(gradient[name]) for name in TERMS), {}, {})[0].backward()
        update.step(SCHEDULE.at(step), step)
    check(model, optimizer, update.state())


@pytest.mark.parametrize("optimizer", list_optimizers())
def test_compiled_steps_equal_numpy(optimizer):
    """The host never waits for a step, so this also says that each one has its own rate."""
    start, gradients = drawn()
    whole = {"placement": PLACEMENT, "sbp": flow.sbp.broadcast}
    model, rate = Given(start).to_global(**whole), LearningRate(PLACEMENT)
    graph = TrainGraph(model, rate, make_optimizer(optimizer), RULES, CLIP)
    for step, gradient in enumerate(gradients):
        rate.set(SCHEDULE.at(step))
        graph(*(flow.tensor(gradient[name]).to_global(**whole) for name in TERMS), {}, {})
    slots = make_optimizer(optimizer).slots
    kept = {f"{n}/{slot}": graph.state_dict()[f"model.{n}-{slot}"].numpy() for n in TERMS for slot in slots}
    check(model, optimizer, kept)


@pytest.mark.parametrize("schedule", list_schedules())
def test_the_compiled_step_has_the_rate_of_every_schedule_at_every_step(schedule):
    """Plain SGD without decay on a gradient of 1: a weight falls by the rate."""
    parameters = {"multistep": {"epochs": (1, 2)}, "cosine": {"first": 0.6, "m_mul": 0.7}}.get(schedule, {})
    span = Span(0.5, 40, warmup=4, steps_per_epoch=12)
    wanted = Schedule(make_curve(schedule, **parameters), span)
    whole = {"placement": PLACEMENT, "sbp": flow.sbp.broadcast}
    model, rate = (
        Given({"wide": np.zeros((1, 1), "f"), "long": np.zeros(1, "f")}).to_global(**whole),
        LearningRate(PLACEMENT),
    )
    graph = TrainGraph(model, rate, make_optimizer("sgd", momentum=0.0), ParameterRules())
    one, zero = flow.ones(1, 1).to_global(**whole), flow.zeros(1).to_global(**whole)
    before = 0.0
    for step in range(span.steps):
        rate.set(wanted.at(step))
        graph(one, zero, {}, {})
        now = model.wide.numpy().item()
        assert before - now == pytest.approx(wanted.at(step), rel=1e-4, abs=1e-5)  # of a weight of up to 20
        before = now
