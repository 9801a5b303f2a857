"""Memory, open files and threads stay flat over many steps; `tests.benchmarks.long_run` does 20,000 of them."""

import pytest

from tests.benchmarks.long_run import Sample, judge, long_run


def test_300_steps_are_flat(tmp_path):
    actual = long_run(tmp_path, steps=300, ranks=2, mode="graph")
    assert actual.keys() == {"launcher", "rank 0", "rank 1"}
    assert not {name: verdict for name, verdict in actual.items() if verdict.growing}


def samples(**more):
    """Of 20,000 steps; more: what grows by how much with each."""
    usual = {"memory": 150 << 20, "files": 17, "threads": 22}
    return [
        Sample(step, **{name: int(usual[name] + more.get(name, 0) * step) for name in usual})
        for step in range(100, 20_001, 100)
    ]


@pytest.mark.parametrize(("more", "growing"), [
    ({}, []), ({"memory": 20}, []), ({"memory": 400}, ["memory"]), ({"files": 1e-3}, ["files"]),
    ({"threads": 1e-3}, ["threads"]), ({"memory": 4096, "files": 1, "threads": -1e-3}, ["memory", "files"]),
])  # fmt: skip
def test_what_grows_is_named(more, growing):
    assert judge(samples(**more)).growing == growing


def test_the_warm_up_does_not_count():
    early = [Sample(step, step << 20, step, step) for step in range(0, 40)]
    late = [Sample(step, 40 << 20, 40, 40) for step in range(40, 201)]
    assert not judge(early + late).growing


def test_a_leak_of_a_run_is_found(tmp_path):
    """A rank that opens a file, starts a thread and keeps a megabyte every few steps."""
    actual = long_run(tmp_path, steps=300, ranks=1, mode="graph", script="tests/end_to_end/leaking_worker.py")
    assert actual["rank 0"].growing == ["memory", "files", "threads"]
    assert not actual["launcher"].growing
