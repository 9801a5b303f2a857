"""The layout of steps that run on CPU, 1 and 2 ranks, read from the job that ran; tests/cuda has the same for CUDA."""

import pytest

from tests.layout.cases import CPU_CASES
from tests.layout.job import read_operators
from tests.layout.rules import broken, center_types
from tests.layout.written import written_jobs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written_jobs(tmp_path_factory, "tests/engine/layout_worker.py", CPU_CASES)


@pytest.mark.parametrize("name", CPU_CASES)
def test_the_step_keeps_to_the_layout(run, name):
    case, operators = CPU_CASES[name], read_operators(run(name))
    assert broken(operators, case) == {}
    assert center_types(operators, case) == {"float"}
