"""The rules of the layout find formulas that OneFlow cannot compute where the classes are."""

from dataclasses import replace

import oneflow as flow
import pytest
from oneflow import nn

from tests.layout.cases import CLASSES, EMBEDDING, LayoutCase
from tests.layout.job import read_operators
from tests.layout.rules import misplaced, sent, too_many

CASE = LayoutCase("full", 1, half=False, floats=1, bytes_per_logit=4)
FORMULAS = {
    "own": lambda logits: logits.sum(dim=1, keepdim=True).to_global(sbp=flow.sbp.broadcast),
    "where": lambda logits: flow.where(logits > 0, logits, logits.sum(dim=1, keepdim=True)),
    "amax": lambda logits: logits.amax(dim=1, keepdim=True),
    "gathered": lambda logits: flow.exp(logits.to_global(sbp=flow.sbp.broadcast)),
}


def compiled(formula):
    """The operators of a formula of logits (B, C) S(1), which are the product of (B, E) broadcast and (C, E) S(0)."""

    class Step(nn.Graph):
        def build(self, embedding, centers):
            return formula(flow.matmul(embedding, centers, transpose_b=True))

    graph, placement = Step(), flow.env.all_device_placement("cpu")
    graph.build_graph(
        flow.zeros(CASE.micro_batch, EMBEDDING, placement=placement, sbp=flow.sbp.broadcast),
        flow.zeros(CLASSES, EMBEDDING, placement=placement, sbp=flow.sbp.split(0)),
    )
    return read_operators(graph._full_graph_proto)


def test_a_sum_over_classes_stays_where_they_are():
    operators = compiled(FORMULAS["own"])
    assert misplaced(operators, CASE) == [] and sent(operators, CASE) == []
    assert too_many(operators, CASE) == []


@pytest.mark.parametrize("allowed", [{"floats": 2, "bytes_per_logit": 12}, {"floats": 3, "bytes_per_logit": 11}])
def test_too_many_logits_are_reported(allowed):
    operators = compiled(flow.exp)  # the product, exp, and the output
    assert too_many(operators, replace(CASE, floats=3, bytes_per_logit=12)) == []
    assert too_many(operators, replace(CASE, **allowed))[0] == "3 of 3 are float32"


@pytest.mark.parametrize(("name", "taker"), [("where", "where"), ("amax", "reduce_max"), ("gathered", "exp")])
def test_logits_that_leave_their_rank_are_reported(name, taker):
    logits = f"float[{CASE.micro_batch}, {CLASSES}] S1 -> "
    (reported,) = (line for line in sent(compiled(FORMULAS[name]), CASE) if logits in line)
    assert f" for {taker}-" in reported


@pytest.mark.parametrize("name", ["where", "gathered"])
def test_logits_that_are_not_split_over_classes_are_reported(name):
    assert misplaced(compiled(FORMULAS[name]), CASE) != []
