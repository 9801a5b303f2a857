"""The steps as OneFlow compiles them for CUDA, on 1 and 2 ranks, read on a machine without a card."""

import pytest

from tests.layout.cases import CUDA_CASES
from tests.layout.job import read_operators
from tests.layout.rules import (
    center_tensors,
    center_types,
    logits,
    misplaced,
    most_alive,
    returned,
    sent,
    sums_in_half,
    too_many,
)
from tests.layout.written import written_jobs

EACH_CASE = pytest.mark.parametrize("name", CUDA_CASES)


@pytest.fixture(scope="module")
def compiled(cuda_libraries, tmp_path_factory):
    loaded_first = {"LD_PRELOAD": str(cuda_libraries[0])}
    return written_jobs(tmp_path_factory, "tests/cuda/worker.py", CUDA_CASES, loaded_first)


@EACH_CASE
def test_tensors_with_a_class_axis_are_split_on_it(compiled, name):
    found = misplaced(read_operators(compiled(name)), CUDA_CASES[name])
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", [name for name, case in CUDA_CASES.items() if case.ranks > 1])
def test_no_more_than_rows_and_embeddings_cross_the_ranks(compiled, name):
    found = sent(read_operators(compiled(name)), CUDA_CASES[name])
    assert not found, "\n".join(found)


@EACH_CASE
def test_logits_are_few(compiled, name):
    case, operators = CUDA_CASES[name], read_operators(compiled(name))
    assert logits(operators, case) != []
    found = too_many(operators, case)
    assert not found, "\n".join(found)
    assert most_alive(operators, case) <= 4
    assert len(returned(operators, case)) <= 2  # collected, and copied out of the graph


@EACH_CASE
def test_centers_and_their_products_have_the_type_asked_for(compiled, name):
    case = CUDA_CASES[name]
    assert center_types(read_operators(compiled(name)), case) == {"float16" if case.half else "float"}


@EACH_CASE
def test_every_operator_has_a_kernel(compiled, kernel_registry, name):
    job = compiled(name)
    assert {op.device for op in read_operators(job) if op.name.startswith("model.")} == {"cuda"}
    missing = kernel_registry.missing(job)
    assert not missing, "\n".join(missing)


def test_the_check_of_kernels_looks_at_devices_and_types(compiled, kernel_registry):
    missing = kernel_registry.missing(compiled("full-fp16-acc1-ranks1"), "cpu")  # OneFlow has no half products there
    assert any(line.startswith("matmul on cpu: a_0 float16, b_0 float16") for line in missing)
    assert kernel_registry.missing(compiled("full-fp32-acc1-ranks1"), "cpu") == []


@EACH_CASE
def test_there_is_one_tensor_of_centers(compiled, name):
    case = CUDA_CASES[name]
    centers = center_tensors(read_operators(compiled(name)), case)
    # With accumulation each micro-batch takes the same memory (`repeat`); a replicated head returns the gradient.
    assert len(centers) <= (1 if case.model_parallel else 5) + (case.gradient_acc > 1), "\n".join(map(str, centers))


@EACH_CASE
def test_sums_over_the_ranks_are_in_float32(compiled, name):
    found = sums_in_half(read_operators(compiled(name)))
    assert not found, "\n".join(found)
