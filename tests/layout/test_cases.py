"""No loss is left out of the tests of the layout."""

import pytest

from losses import list_losses, make_margin
from tests.layout.cases import CPU_CASES, CUDA_CASES


@pytest.mark.parametrize("cases", [CPU_CASES, CUDA_CASES])
def test_every_loss_has_a_case(cases):
    assert {case.loss for case in cases.values()} == set(list_losses())


@pytest.mark.parametrize("loss", [name for name in list_losses() if make_margin(name).state])
def test_a_loss_with_state_has_a_case_with_micro_batches_and_one_without_model_parallel(loss):
    cases = [case for case in CPU_CASES.values() if case.loss == loss]
    assert any(case.gradient_acc > 1 for case in cases)
    assert any(not case.model_parallel for case in cases)
