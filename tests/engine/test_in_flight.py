"""How far the host runs ahead, on a device that is made up; and what ends a step, on the real one."""

import json

import pytest

from engine.in_flight import StepsInFlight
from tests.engine.fake_device import FakeDevice, FakeRanks
from tests.ranks import run_ranks

WORKER = "tests/engine/in_flight_worker.py"


def run(device, steps, in_flight=None, ranks=None):
    """Trains some steps; returns the most seconds that the host was ahead after any of them."""
    in_flight = in_flight or made(device, ranks)
    ahead = 0.0
    for _ in range(steps):
        in_flight.launched(device.launch())
        ahead = max(ahead, device.seconds_ahead)
    return ahead


def made(device, ranks=None):
    return StepsInFlight(
        ranks or FakeRanks(), arrival=device.arrival, wait=lambda runtime: device.wait(), clock=device.clock
    )


@pytest.mark.parametrize("step", [0.002, 0.01, 0.1, 0.24])
def test_short_steps_are_a_second_ahead_at_most_and_keep_the_device_busy(step):
    device = FakeDevice(step, launch_seconds=step / 5)
    ahead = run(device, 2000)
    assert step < ahead <= 1.0
    assert device.busy / (device.now + device.seconds_ahead) > 0.99


@pytest.mark.parametrize("step", [0.3, 0.4, 1.5, 30.0])
def test_of_slow_steps_one_is_under_way(step):
    device = FakeDevice(step, launch_seconds=0.002)
    assert run(device, 50) < step
    assert device.busy / (device.now + device.seconds_ahead) > 0.99


def test_a_host_that_is_slower_than_the_device_never_waits_long():
    device = FakeDevice(0.01, launch_seconds=0.05)
    run(device, 400)
    assert device.now == pytest.approx(400 * 0.05, rel=0.02)


def test_steps_that_become_slow_are_bounded_again():
    device = FakeDevice(0.01, launch_seconds=0.001)
    in_flight = made(device)
    run(device, 500, in_flight)
    device.step_seconds = 2.0
    run(device, 120, in_flight)
    assert run(device, 20, in_flight) < 2.0


def test_a_compilation_in_the_first_step_does_not_unbound_the_others():
    device = FakeDevice(0.02, launch_seconds=20.0)
    in_flight = made(device)
    run(device, 1, in_flight)
    device.launch_seconds = 0.001
    assert run(device, 1000, in_flight) <= 1.02


def test_a_pause_is_not_measured():
    device = FakeDevice(0.02, launch_seconds=0.001)
    in_flight = made(device)
    run(device, 500, in_flight)
    length = in_flight.length
    in_flight.wait()
    assert device.seconds_ahead == 0
    device.now += 60
    in_flight.restart()
    ahead = run(device, 500, in_flight)
    assert in_flight.length == length and ahead <= 1.02


def test_stretches_end_however_often_there_are_pauses():
    device = FakeDevice(0.02, launch_seconds=0.001)
    in_flight = made(device)
    run(device, 500, in_flight)
    assert in_flight.length > 3
    ends = []
    for _ in range(10):
        ends += [in_flight.launched(device.launch()) for _ in range(3)]
        in_flight.wait()
        in_flight.restart()
    assert sum(ends) >= 10


def test_all_ranks_take_the_pace_of_the_slowest():
    device, ranks = FakeDevice(0.01, launch_seconds=0.001), FakeRanks(others=[0.25])
    in_flight = made(device, ranks)
    run(device, 500, in_flight)
    assert in_flight.length == 2
    ends = [in_flight.launched(device.launch()) for _ in range(8)]
    assert sum(ends) == 4


@pytest.mark.parametrize(("mode", "ranks"), [("graph", 1), ("graph", 2), ("eager", 1)])
def test_when_the_wait_is_over_the_device_is_idle(mode, ranks, tmp_path):
    run_ranks(ranks, WORKER, mode, str(tmp_path), timeout=120)
    for rank in range(ranks):
        facts = json.loads((tmp_path / f"{rank}.json").read_text())
        # On CPU the device is this process, so what is under way shows in its processor time.
        assert facts["busy_after"] < 0.5, facts
        assert facts["parameters_changed_after"] is False


def test_an_exchange_waits_for_no_step(tmp_path):
    run_ranks(2, WORKER, "graph", str(tmp_path), timeout=120)
    for rank in range(2):
        facts = json.loads((tmp_path / f"{rank}.json").read_text())
        assert facts["exchange"] < facts["step"] / 2, facts
