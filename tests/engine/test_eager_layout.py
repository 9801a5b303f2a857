"""The layout of eager heads on 1 and 2 ranks: logits stay where their classes are, as in the compiled step."""

import functools
import json

import pytest

from tests.layout.cases import CPU_CASES
from tests.ranks import run_ranks


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """ranks -> case -> [(what made it, its SBP)] of the (B, slots) tensors."""

    @functools.cache
    def run(ranks):
        folder = tmp_path_factory.mktemp("eager")
        run_ranks(ranks, "tests/engine/eager_layout_worker.py", str(folder))
        return json.loads((folder / f"{ranks}-0.json").read_text())

    return run


@pytest.mark.parametrize("name", CPU_CASES)
def test_logits_are_split_over_the_classes(layouts, name):
    case = CPU_CASES[name]
    seen = layouts(case.ranks)[name]
    assert {made for made, _ in seen} >= {"matmul", "masked_fill", "eq", "exp"}
    expected = "split(dim=1)" if case.model_parallel else "split(dim=0)"
    assert {sbp for _, sbp in seen} == {f"oneflow.sbp.{expected}"}
