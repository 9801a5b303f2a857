"""The rate of every step: the formula, OneFlow's scheduler, and what the compiled step really applies."""

import oneflow as flow
import pytest
from easydict import EasyDict
from oneflow import nn

from engine.graph import TrainGraph
from engine.schedule import Schedule

SCHEDULES = {
    "polynomial": Schedule("polynomial", 0.1, 20, power=2.0),
    "polynomial with warm-up": Schedule("polynomial", 0.1, 20, warmup_steps=6, power=2.0),
    "linear": Schedule("polynomial", 0.4, 15, warmup_steps=3, power=1.0),
    "multistep": Schedule("multistep", 0.1, 20, milestones=(5, 12), decay_rate=0.1),
    "multistep with warm-up": Schedule("multistep", 0.1, 20, warmup_steps=4, milestones=(8, 15), decay_rate=0.5),
}


def expected(schedule: Schedule, t: int) -> float:
    w, total = schedule.warmup_steps, schedule.total_steps
    if t < w:
        return schedule.lr * t / w
    if schedule.kind == "polynomial":
        return schedule.lr * (1 - (t - w) / (total - w)) ** schedule.power
    rate = schedule.lr
    for milestone in schedule.milestones:
        rate *= schedule.decay_rate if t >= milestone else 1
    return rate


# OneFlow enters a compiled step into its list of running ones only after starting it (lazy_job_instruction_policy.h:
# Push, then EnqueueNNGraph): one that ends within microseconds may leave the list before it is in, and the process
# crashes some steps later. A real step takes far longer; the one here is given enough to do.
ELEMENTS = 1 << 21  # a step of some milliseconds: OneFlow may trip over shorter ones, see tests/ranks.py


class OneWeight(nn.Module):
    """Its loss has slope 1, so plain SGD lowers the weight by the learning rate."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(flow.zeros(1))

    def forward(self, images, labels, state):
        loss = (self.weight * images).mean()
        return loss, {"loss": loss}


@pytest.mark.parametrize("name", SCHEDULES)
def test_formula(name):
    schedule = SCHEDULES[name]
    for t in range(schedule.total_steps):
        assert schedule.at(t) == pytest.approx(expected(schedule, t), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_compiled_step_applies_it(name):
    schedule = SCHEDULES[name]
    placement = flow.env.all_device_placement("cpu")
    model = OneWeight().to_global(placement=placement, sbp=flow.sbp.broadcast)
    optimizer = flow.optim.SGD(model.parameters(), lr=schedule.lr)
    graph = TrainGraph(model, optimizer, schedule.attach(optimizer))
    ones = flow.ones(ELEMENTS).to_global(placement=placement, sbp=flow.sbp.split(0))
    before = 0.0
    for t in range(schedule.total_steps):
        graph(ones, ones, {})["loss"].to_local().numpy()
        after = float(model.weight.to_local().numpy()[0])
        assert before - after == pytest.approx(expected(schedule, t), rel=1e-4, abs=1e-7), t
        before = after


def test_lengths_come_from_epochs():
    cfg = EasyDict(
        lr_schedule="multistep", lr=0.1, num_epoch=4, warmup_epoch=0.5, lr_power=2.0, decay_epoch=(2, 3), decay_rate=0.1
    )
    schedule = Schedule.from_config(cfg, steps_per_epoch=10)
    assert (schedule.total_steps, schedule.warmup_steps, schedule.milestones) == (40, 5, (20, 30))
