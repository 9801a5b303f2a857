"""The layout of steps that run on CPU, 1 and 2 ranks, read from the job that ran; tests/cuda has the same for CUDA."""

import pytest

from tests.layout.cases import CPU_CASES
from tests.layout.job import read_operators
from tests.layout.rules import (
    center_tensors,
    center_types,
    logits,
    misplaced,
    most_alive,
    returned,
    sent,
    too_many,
)
from tests.layout.written import written_jobs

EACH_CASE = pytest.mark.parametrize("name", CPU_CASES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written_jobs(tmp_path_factory, "tests/engine/layout_worker.py", CPU_CASES)


@EACH_CASE
def test_tensors_with_a_class_axis_are_split_on_it(run, name):
    found = misplaced(read_operators(run(name)), CPU_CASES[name])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", [name for name, case in CPU_CASES.items() if case.ranks > 1])
def test_no_more_than_rows_and_embeddings_cross_the_ranks(run, name):
    found = sent(read_operators(run(name)), CPU_CASES[name])
    assert not found, "\n".join(found)


@EACH_CASE
def test_logits_are_few(run, name):
    case, operators = CPU_CASES[name], read_operators(run(name))
    assert logits(operators, case) != []
    found = too_many(operators, case)
    assert not found, "\n".join(found)
    assert most_alive(operators, case) <= 4
    assert len(returned(operators, case)) <= 2
    assert center_types(operators, case) == {"float"}


@EACH_CASE
def test_there_is_one_tensor_of_centers(run, name):
    case = CPU_CASES[name]
    centers = center_tensors(read_operators(run(name)), case)
    # With accumulation each micro-batch takes the same memory (`repeat`); a replicated head returns the gradient.
    assert len(centers) <= (1 if case.model_parallel else 5) + (case.gradient_acc > 1), "\n".join(map(str, centers))
