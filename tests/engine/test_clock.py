"""Rates in the log, with pauses between the steps, on a device that is made up."""

import logging
import re
from types import SimpleNamespace

import pytest

from engine import hooks
from engine.clock import TrainingClock
from engine.hooks import Progress
from engine.in_flight import StepsInFlight
from tests.engine.fake_device import FakeDevice, FakeRanks


class FakeTrainer:
    """As much of a trainer as the progress lines need."""

    runtime, total_steps, cfg = FakeRanks(), 60, SimpleNamespace(fp16=False)
    phase = SimpleNamespace(global_batch=64, stop=60, rate=lambda step: 0.1, epoch=lambda step: 0)
    phases, train_step = [phase], SimpleNamespace(skipped=0, accuracy=None)

    def __init__(self, device: FakeDevice) -> None:
        self.step, self.device = 0, device
        self.clock = TrainingClock(device.clock)
        self.in_flight = StepsInFlight(self.runtime, arrival=device.arrival, wait=device.wait, clock=device.clock)

    @property
    def finished(self) -> bool:
        return self.step == self.total_steps

    def train(self, pauses: set[int], frequent: int, caplog) -> list[tuple[float, str]]:
        """(samples per second, time left) of each line; pauses of a minute after some steps."""
        progress = Progress(frequent, logging.getLogger("rates"), None)
        with caplog.at_level(logging.INFO, "rates"):
            progress.on_start(self)
            while not self.finished:
                self.loss = self.device.launch()
                self.losses = {"loss": self.loss}
                self.step += 1
                self.in_flight.launched(self.loss)
                progress.after_step(self)
                if self.step in pauses:
                    with self.clock.paused(self.in_flight):
                        self.device.now += 60
            progress.on_end(self)
        lines = [re.search(r"Speed ([\d.,]+) .* Required: (.*)", line) for line in caplog.messages]
        return [(float(line[1].replace(",", "")), line[2]) for line in lines]


@pytest.fixture(autouse=True)
def losses_of_the_device(monkeypatch):
    """A line waits for its last loss."""

    def mean_loss(losses, runtime, step, fp16):
        arrivals[-1](losses[-1])()
        return 0.0

    arrivals = []
    before = FakeTrainer.__init__

    def started(self, device):
        arrivals.append(device.arrival)
        before(self, device)

    monkeypatch.setattr(FakeTrainer, "__init__", started)
    monkeypatch.setattr(hooks, "mean_loss", mean_loss)


@pytest.mark.parametrize("step", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("frequent", [1, 7, 10])
@pytest.mark.parametrize("pauses", [{10, 20, 40, 60}, {5, 13, 14, 59}, set()], ids=["with a line", "between", "none"])
def test_pauses_change_no_rate(step, frequent, pauses, caplog):
    trainer = FakeTrainer(FakeDevice(step, launch_seconds=0.0001))
    first, *lines = trainer.train(pauses, frequent, caplog)
    assert len(lines) >= 5
    for speed, _ in lines:
        assert speed == pytest.approx(64 / step, rel=0.05)
    assert first[0] == pytest.approx(64 / step, rel=3)


def test_the_time_left_is_that_of_the_steps_left(caplog):
    trainer = FakeTrainer(FakeDevice(2.0, launch_seconds=0.0001))
    lines = trainer.train({10, 30}, 10, caplog)
    assert [left for _, left in lines[1:]] == ["1.3 minutes", "1.0 minutes", "40 seconds", "20 seconds", "0 seconds"]
