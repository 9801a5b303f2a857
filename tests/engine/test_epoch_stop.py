"""Requests to end after an epoch, by signal and by file, and the ranks' agreement on them."""

import signal
import threading

import pytest

from engine.epoch_stop import STOP_FILE, EpochStop
from launch.epoch_signal import hold_epoch_signal
from tests.engine.fake_device import FakeRanks


@pytest.fixture(autouse=True)
def as_before():
    mask, handler = signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGUSR1)
    yield
    assert signal.getsignal(signal.SIGUSR1) == handler
    while signal.sigtimedwait({signal.SIGUSR1}, 0):  # one left pending would end pytest
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def get():
    # Not to the process: pytest's own threads, which began earlier, hold nothing.
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


def test_the_signal_is_a_request_and_a_second_one_the_same(tmp_path):
    with EpochStop(FakeRanks(), tmp_path) as stop:
        assert not stop.agreed()
        get()
        get()
        assert stop.agreed()


def test_a_signal_of_before_is_held_and_one_of_afterwards_ends_nothing(tmp_path):
    hold_epoch_signal()
    get()
    with EpochStop(FakeRanks(), tmp_path) as stop:
        assert stop.agreed()
    get()
    assert signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_file_is_a_request_that_is_gone_when_it_is_followed(tmp_path):
    with EpochStop(FakeRanks(), tmp_path) as stop:
        assert not stop.agreed()
        (tmp_path / STOP_FILE).touch()
        assert stop.agreed() and not (tmp_path / STOP_FILE).exists()
        assert not stop.agreed()


def test_another_rank_that_is_asked_stops_this_one(tmp_path):
    for other in (False, True):
        with EpochStop(FakeRanks(others=[other]), tmp_path) as stop:
            assert stop.agreed() == other
