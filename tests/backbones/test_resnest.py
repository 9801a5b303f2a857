"""ResNeSt: names and sizes by the paper's rules, split attention against NumPy."""

import numpy as np
import oneflow as flow
import pytest

from backbones import get_model
from backbones.blocks import Style
from backbones.resnest import ResNestBottleneck
from tests.backbones.layers import assert_gradients, batch_norm, conv2d, draw, mean_pool, relu
from tests.backbones.tables import conv, count, norm, shapes
from tests.backbones.test_resnet import CLASSES, bottlenecks

BLOCKS = {"resnest50": (3, 4, 6, 3), "resnest101": (3, 4, 23, 3)}
STEM = {"resnest50": 32, "resnest101": 64}
PARAMETERS = {"resnest50": 27_483_240, "resnest101": 48_275_016}  # the authors', with 1000 classes of ImageNet


def _stem(width):
    table = conv("conv1.0", width, 3, 3) | norm("conv1.1", width) | conv("conv1.3", width, width, 3)
    return table | norm("conv1.4", width) | conv("conv1.6", 2 * width, width, 3) | norm("bn1", 2 * width)


def _block(name, ins, planes):
    outs, hidden = 4 * planes, 2 * planes // 4
    table = conv(f"{name}.conv1", planes, ins) | norm(f"{name}.bn1", planes)
    table |= conv(f"{name}.conv2.conv", 2 * planes, planes // 2, 3) | norm(f"{name}.conv2.bn0", 2 * planes)
    table |= conv(f"{name}.conv2.fc1", hidden, planes, bias=True) | norm(f"{name}.conv2.bn1", hidden)
    table |= conv(f"{name}.conv2.fc2", 2 * planes, hidden, bias=True)
    table |= conv(f"{name}.conv3", outs, planes) | norm(f"{name}.bn3", outs)
    if name.endswith(".0"):  # "0" is the pooling
        table |= conv(f"{name}.downsample.1", outs, ins) | norm(f"{name}.downsample.2", outs)
    return table


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", BLOCKS)
def test_names_and_shapes(name):
    model = get_model(name)
    table = _stem(STEM[name]) | bottlenecks(BLOCKS[name], _block, 2 * STEM[name])
    assert shapes(model, but=["output."]) == table
    assert count(model, but=["output."]) == PARAMETERS[name] - CLASSES


@pytest.mark.usefixtures("no_values")
def test_the_stem_is_as_wide_as_the_rest():
    assert shapes(get_model("resnest101(width=0.25)"))["conv1.6.weight"] == (32, 16, 3, 3)


def _split_attention(x, state):
    """As the paper has it: splits, their sum's means, two layers, a softmax over the splits, and the weighted sum."""
    wide = relu(batch_norm(conv2d(x, state["conv2.conv.weight"], 1, 1, groups=2), state, "conv2.bn0"))
    splits = wide.reshape(len(x), 2, -1, *x.shape[2:])
    means = splits.sum(1).mean((2, 3), keepdims=True)
    hidden = conv2d(means, state["conv2.fc1.weight"]) + state["conv2.fc1.bias"].reshape(1, -1, 1, 1)
    hidden = relu(batch_norm(hidden, state, "conv2.bn1"))
    logits = conv2d(hidden, state["conv2.fc2.weight"]) + state["conv2.fc2.bias"].reshape(1, -1, 1, 1)
    weights = np.exp(logits.reshape(len(x), 2, -1, 1, 1))
    return (splits * weights / weights.sum(1, keepdims=True)).sum(1)


@pytest.mark.parametrize("places", [6, 7])
@pytest.mark.parametrize(("ins", "stride"), [(32, 1), (6, 1), (6, 2)])
def test_a_block_equals_numpy(ins, stride, places):
    rng = np.random.default_rng(ins + places)
    block = ResNestBottleneck(Style(), ins, 8, stride)
    state = draw(block, rng)
    x = rng.normal(size=(3, ins, places, places))

    out = relu(batch_norm(conv2d(x, state["conv1.weight"]), state, "bn1"))
    out = _split_attention(out, state)
    if stride == 2:
        out = mean_pool(out, 3, 2, padding=1)
    out = batch_norm(conv2d(out, state["conv3.weight"]), state, "bn3")
    identity = x
    if ins != 32:
        identity = mean_pool(x, 2, 2, cut=True) if stride == 2 else x
        identity = batch_norm(conv2d(identity, state["downsample.1.weight"]), state, "downsample.2")
    np.testing.assert_allclose(block(flow.tensor(x)).numpy(), relu(out + identity), atol=1e-6)
    assert_gradients(block, x, rng)
