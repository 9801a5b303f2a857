"""Worker processes: what they inherit, and what becomes of them."""

import gc
import os

import pytest

from preparation.workers import worker_pool
from utils.errors import UserError


def collect(_):
    gc.collect()
    return os.getpid()


class Collected:
    """Garbage that only the collector finds, and that tells where it was collected."""

    def __init__(self, log):
        self.itself, self.log = self, log

    def __del__(self):
        self.log.write_text(f"{self.log.read_text()}{os.getpid()} ")


def test_garbage_of_the_parent_is_left_to_the_parent(tmp_path):
    """A OneFlow graph that a forked process frees waits for ever."""
    log = tmp_path / "log"
    log.write_text("")
    gc.disable()
    try:
        Collected(log)
        with worker_pool(2) as pool:
            assert os.getpid() not in set(pool.map(collect, range(8)))
        assert log.read_text() == ""
    finally:
        gc.enable()
    gc.collect()
    assert log.read_text() == f"{os.getpid()} "


def end(_):
    os._exit(1)


def test_a_worker_that_is_killed_is_one_sentence():
    with pytest.raises(UserError, match="A worker was killed"), worker_pool(2) as pool:
        list(pool.map(end, range(4)))
