"""The steps as OneFlow compiles them for CUDA, on 1 and 2 ranks, read on a machine without a card."""

import pytest

from tests.layout.cases import CUDA_CASES
from tests.layout.job import read_operators
from tests.layout.rules import broken, center_types
from tests.layout.written import written_jobs

EACH_CASE = pytest.mark.parametrize("name", CUDA_CASES)


@pytest.fixture(scope="module")
def compiled(cuda_libraries, tmp_path_factory):
    loaded_first = {"LD_PRELOAD": str(cuda_libraries[0])}
    return written_jobs(tmp_path_factory, "tests/cuda/worker.py", CUDA_CASES, loaded_first)


@EACH_CASE
def test_the_step_keeps_to_the_layout(compiled, name):
    case, operators = CUDA_CASES[name], read_operators(compiled(name))
    assert broken(operators, case) == {}
    assert center_types(operators, case) == {"float16" if case.half else "float"}


@EACH_CASE
def test_every_operator_has_a_kernel(compiled, kernel_registry, name):
    job = compiled(name)
    # OneFlow counts updates on the host, and Adam's corrections, two numbers, with them.
    operators = [op for op in read_operators(job) if op.kind != "adam_bias_correction_factor"]
    assert {op.device for op in operators if op.name.startswith("model.")} == {"cuda"}
    missing = kernel_registry.missing(job)
    assert not missing, "\n".join(missing)


def test_the_check_of_kernels_looks_at_devices_and_types(compiled, kernel_registry):
    missing = kernel_registry.missing(compiled("full-fp16-acc1-ranks1"), "cpu")  # OneFlow has no half products there
    assert any(line.startswith("matmul on cpu: a_0 float16, b_0 float16") for line in missing)
    assert kernel_registry.missing(compiled("full-fp32-acc1-ranks1"), "cpu") == []
