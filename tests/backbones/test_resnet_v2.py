"""ResNet of version 2: names and sizes by the paper's table, blocks against NumPy."""

import numpy as np
import oneflow as flow
import pytest

from backbones import get_model
from backbones.blocks import Style
from backbones.resnet_v2 import PreActivation
from tests.backbones.layers import assert_gradients, batch_norm, conv2d, draw, relu
from tests.backbones.tables import conv, count, norm, shapes

BLOCKS = {"resnet50_v2": (3, 4, 6, 3), "resnet101_v2": (3, 4, 23, 3), "resnet152_v2": (3, 8, 36, 3)}
# timm's resnetv2 without their layer of 1000 classes of ImageNet.
PARAMETERS = {"resnet50_v2": 23_500_352, "resnet101_v2": 42_492_480, "resnet152_v2": 58_136_128}


def _table(blocks):
    table, ins = conv("stem.conv", 64, 3, 7), 64
    for stage, number_of_blocks in enumerate(blocks):
        planes = 64 << stage
        for number in range(number_of_blocks):
            name = f"stages.{stage}.blocks.{number}"
            table |= norm(f"{name}.norm1", ins) | conv(f"{name}.conv1", planes, ins)
            table |= norm(f"{name}.norm2", planes) | conv(f"{name}.conv2", planes, planes, 3)
            table |= norm(f"{name}.norm3", planes) | conv(f"{name}.conv3", 4 * planes, planes)
            if number == 0:
                table |= conv(f"{name}.downsample.conv", 4 * planes, ins)
            ins = 4 * planes
    return table | norm("norm", 2048)


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", BLOCKS)
def test_names_and_shapes(name):
    model = get_model(name)
    assert shapes(model, but=["output."]) == _table(BLOCKS[name])
    assert count(model, but=["output."]) == PARAMETERS[name]


@pytest.mark.parametrize(("ins", "stride"), [(16, 1), (6, 1), (6, 2)])
def test_a_block_equals_numpy(ins, stride):
    rng = np.random.default_rng(ins + stride)
    block = PreActivation(Style(), ins, 4, stride)
    state = draw(block, rng)
    x = rng.normal(size=(3, ins, 7, 7))

    before = relu(batch_norm(x, state, "norm1"))
    out = relu(batch_norm(conv2d(before, state["conv1.weight"]), state, "norm2"))
    out = relu(batch_norm(conv2d(out, state["conv2.weight"], stride, 1), state, "norm3"))
    identity = x if ins == 16 else conv2d(before, state["downsample.conv.weight"], stride)
    wanted = conv2d(out, state["conv3.weight"]) + identity
    np.testing.assert_allclose(block(flow.tensor(x)).numpy(), wanted, atol=1e-6)
    assert_gradients(block, x, rng)
