"""Signals as requests to stop, and the ranks' agreement on them."""

import os
import signal

import pytest

from engine.stop import StopSignal
from tests.engine.fake_device import FakeRanks
from tests.ranks import run_ranks

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def ends():
    """The signals that reached the handlers which were there before, as they would end the process."""
    ends = []
    before = {number: signal.signal(number, lambda number, frame: ends.append(number)) for number in SIGNALS}
    yield ends
    for number, handler in before.items():
        signal.signal(number, handler)


def get(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_request(number, ends):
    with StopSignal(FakeRanks()) as stop:
        assert not stop.agreed(due=True)
        get(number)
        assert stop.agreed(due=False) and stop.agreed(due=True)
    assert ends == []


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_a_second_signal_ends_at_once(first, second, ends):
    with StopSignal(FakeRanks()):
        get(first)
        assert ends == []
        get(second)
        assert ends == [second]


def test_the_handlers_of_before_come_back(ends):
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), StopSignal(FakeRanks()):
        assert [signal.getsignal(number) for number in SIGNALS] != before
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_several_ranks_ask_each_other_only_when_it_is_due(ends):
    ranks = FakeRanks(others=[False, True])
    with StopSignal(ranks) as stop:
        assert not stop.agreed(due=False) and ranks.exchanges == 0
        assert stop.agreed(due=True) and ranks.exchanges == 1


def test_a_request_of_one_rank_alone_waits_for_the_others(ends):
    with StopSignal(FakeRanks(others=[False])) as stop:
        get(signal.SIGINT)
        assert not stop.agreed(due=False)
        assert stop.agreed(due=True)


def test_two_ranks_stop_after_the_same_step(tmp_path):
    run_ranks(2, "tests/engine/stop_worker.py", str(tmp_path), timeout=90)
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == ["5", "5"]
