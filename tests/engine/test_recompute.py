"""Activations that are computed again: the same numbers as when they are kept, statistics and masks among them."""

import functools
import json
from collections import Counter
from itertools import product

import pytest
from oneflow import nn

from backbones import get_model, list_models
from backbones.checkpointing import segments
from backbones.without_values import without_values
from tests.engine.recompute_worker import NETWORKS
from tests.ranks import run_ranks
from utils.errors import UserError

KINDS, STEPS = ("blocks", "stages"), ("plain-1", "synchronized-1", "synchronized-2")
CASES = [f"{kind}-{step}" for kind, step in product(KINDS, STEPS)]


@pytest.fixture
def no_values():
    with without_values():
        yield


@functools.cache
def seen():
    return json.loads(run_ranks(2, "tests/engine/recompute_worker.py").strip().splitlines()[-1])


@pytest.mark.parametrize("case", CASES)
def test_the_step_stays_the_same(case):
    """To the bit; to rounding if BatchNorm's statistics are those that OneFlow gives as 1 / deviation."""
    facts = seen()[case]
    assert facts["error"] <= (0 if "synchronized" in case else 1e-5)
    assert facts["moved"] > 1e-3


@pytest.mark.parametrize("case", CASES)
def test_what_comes_again_and_what_does_not(case):
    facts, (kind, norm, _) = seen()[case], case.split("-")
    again = Counter(facts["again"])
    assert facts["waits"]  # for a gradient, or it would run in the forward pass
    # A mask is drawn once, so what comes out of Dropout is kept. With stages, so is no sum of a stage's first block.
    assert again["conv2d"] == 8 and "dropout" not in again
    assert again["normalization"] == (6 if kind == "stages" else 4)  # with the statistics of the forward pass
    assert not again["reduce_sum"]
    assert facts["writes"] == (16 if norm == "synchronized" else 8)  # running statistics, each once, as without


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_other_families_stay_the_same_too(name):
    facts = seen()[name]
    assert facts["error"] <= 1e-5 and facts["again"] > 20


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", sorted(set(list_models()) - {"flowvision"}))
def test_each_network_says_its_blocks(name):
    network = get_model(name, 16)
    modules = dict(network.named_modules())
    assert len(segments(network, "blocks")) >= 3 and segments(network, "blocks")[0] in modules


def test_blocks_and_stages_of_our_networks():
    network = get_model("r18", 16)
    assert segments(network, "stages", "backbone.") == [f"backbone.layer{i}" for i in (1, 2, 3, 4)]
    assert segments(network, "blocks") == [f"layer{i}.{block}" for i in (1, 2, 3, 4) for block in (0, 1)]
    assert "layers.3.layers.2" in segments(get_model("mbf", 16), "blocks")
    assert segments(get_model("mbf_tiny", 16), "blocks") == ["layers.0", "layers.1", "layers.2"]


def test_a_network_without_stages_is_refused():
    with pytest.raises(UserError, match="Sequential has no stages to compute again"):
        segments(nn.Sequential(nn.Linear(2, 2)), "blocks")
