"""What is frozen is used as it is."""

from dataclasses import replace

import pytest

from backbones.drawn import DropPath, TokenMask
from backbones.registry import Sizes
from backbones.vit import vit
from engine.model import freeze
from optim.parameters import ParameterRules
from utils.pixels import ImageShape


@pytest.fixture
def network():
    return vit(Sizes(8, ImageShape(36, 36)), 0.3, dim=16, depth=3, drop_path=0.5, mask=0.3)


def freeze_parts(network, *parts):
    freeze(network, replace(ParameterRules(0.0), frozen=tuple(f"backbone.{part}" for part in parts)))
    return {name for name, part in network.named_modules() if part.training}


def test_a_frozen_block_leaves_nothing_out(network):
    trains = freeze_parts(network, "blocks.1.*")
    assert {name for name, part in network.named_modules() if isinstance(part, DropPath)} - trains == {
        "blocks.1.drop1",
        "blocks.1.drop2",
    }
    assert {"dropout", "masking", "blocks.2", "feature.1"} <= trains and "blocks.1" not in trains


def test_a_part_of_a_block_stops_no_path(network):
    assert {"blocks.1.drop1", "blocks.1.mlp"} <= freeze_parts(network, "blocks.1.attn.*")


def test_tokens_are_masked_until_what_stands_for_them_is_frozen(network):
    assert isinstance(network.masking, TokenMask)
    assert "masking" in freeze_parts(network, "blocks.*")
    trains = freeze_parts(network, "blocks.*", "mask_token", "pos_embed")
    assert "masking" not in trains and {"feature.1", "feature.3", "dropout"} <= trains
    assert "masking" in freeze_parts(network)
