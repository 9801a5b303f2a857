"""Real runs of a step or two: what they take, and how they end."""

import pytest

from planning.measure import Measured, OutOfMemory, measure, memory_shortage
from planning.options import Planner
from utils.config import load_config
from utils.errors import UserError

CONFIG, CPU = "speed_head", ["device=cpu", "batch_size=32"]


@pytest.mark.parametrize(
    ("ranks", "head"), [(1, ["num_classes=50000"]), (2, ["num_classes=100000", "sample_rate=0.1"])]
)
def test_the_planner_is_within_a_tenth_of_a_run(ranks, head):
    actual = measure(CONFIG, [*CPU, *head], ranks, steps=1)
    assert isinstance(actual, Measured) and actual.step_seconds > 0
    cfg = load_config(CONFIG, [*CPU, *head])
    predicted = Planner(cfg, ranks, "cpu").predict(cfg.num_classes).host_total
    assert predicted == pytest.approx(actual.peak, rel=0.1)


def test_the_backbone_is_timed_alone_where_that_is_asked_for():
    actual = measure(CONFIG, [*CPU, "num_classes=30000", "sample_rate=0.5"], 1, steps=2, backbone=True)
    assert 0 <= actual.head_share < 1


def test_a_run_over_its_limit_is_a_result():
    actual = measure(CONFIG, [*CPU, "num_classes=3000000"], 1, limit=900 << 20)
    assert isinstance(actual, OutOfMemory) and "more than its limit" in actual.reason
    assert actual.peak > 900 << 20


def test_a_run_that_fails_otherwise_is_not():
    with pytest.raises(UserError, match=r"^the run failed with exit status \d+: There is no network r19"):
        measure(CONFIG, [*CPU, "num_classes=100", "network=r19"], 1)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (1, "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 3.81 GiB for an array"),
        (134, "terminate called after throwing an instance of 'std::bad_alloc'"),
        (1, "oneflow._oneflow_internal.exception.RuntimeError: Error: allocate failed"),
        (134, "Check failed: cudaMalloc: out of memory"),
        (137, "rank 0 was ended by SIGKILL (out of memory?)"),
        (134, "rank 1 was ended by SIGKILL (out of memory?)"),
    ],
)
def test_the_ways_to_run_out_of_memory(status, said):
    assert memory_shortage(status, said)


def test_other_failures_are_no_shortage():
    assert memory_shortage(1, "ValueError: no\nrank 0 was ended by SIGSEGV") is None
