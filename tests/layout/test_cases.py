"""No loss is left out of the tests of the layout."""

import pytest

from losses import list_embedding_losses
from tests.layout.cases import CPU_CASES, CUDA_CASES
from tests.losses.extra_margins import NAMES, margin_of


@pytest.mark.parametrize("cases", [CPU_CASES, CUDA_CASES])
def test_every_loss_has_a_case(cases):
    assert {case.loss for case in cases.values()} == set(NAMES)


@pytest.mark.parametrize("cases", [CPU_CASES, CUDA_CASES])
def test_every_loss_on_embeddings_has_a_case(cases):
    assert {name for case in cases.values() for name in case.terms} == set(list_embedding_losses())


@pytest.mark.parametrize("loss", [name for name in NAMES if margin_of(name).state])
def test_a_loss_with_state_has_a_case_with_micro_batches_and_one_without_model_parallel(loss):
    cases = [case for case in CPU_CASES.values() if case.loss == loss]
    assert any(case.gradient_acc > 1 for case in cases)
    assert any(not case.model_parallel for case in cases)
