"""SE-ResNeXt 32 x 4d: names and sizes by the papers' tables, blocks against NumPy."""

import numpy as np
import oneflow as flow
import pytest

from backbones import get_model
from backbones.blocks import Style
from backbones.se_resnext import SeResNextBottleneck
from tests.backbones.layers import assert_gradients, batch_norm, conv2d, draw, relu, sigmoid
from tests.backbones.tables import conv, count, norm, shapes
from tests.backbones.test_resnet import CLASSES, bottlenecks

BLOCKS = {"se_resnext50": (3, 4, 6, 3), "se_resnext101": (3, 4, 23, 3)}
PARAMETERS = {"se_resnext50": 27_559_896, "se_resnext101": 48_955_416}  # timm's, with 1000 classes of ImageNet


def _block(name, ins, planes):
    wide, outs = 32 * planes * 4 // 64, 4 * planes
    table = conv(f"{name}.conv1", wide, ins) | norm(f"{name}.bn1", wide)
    table |= conv(f"{name}.conv2", wide, wide // 32, 3) | norm(f"{name}.bn2", wide)
    table |= conv(f"{name}.conv3", outs, wide) | norm(f"{name}.bn3", outs)
    table |= conv(f"{name}.se.fc1", outs // 16, outs, bias=True) | conv(f"{name}.se.fc2", outs, outs // 16, bias=True)
    if name.endswith(".0"):
        table |= conv(f"{name}.downsample.0", outs, ins) | norm(f"{name}.downsample.1", outs)
    return table


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", BLOCKS)
def test_names_and_shapes(name):
    model = get_model(name)
    stem = conv("conv1", 64, 3, 7) | norm("bn1", 64)
    assert shapes(model, but=["output."]) == stem | bottlenecks(BLOCKS[name], _block, 64)
    assert count(model, but=["output."]) == PARAMETERS[name] - CLASSES


@pytest.mark.parametrize(("ins", "planes", "stride"), [(64, 16, 1), (12, 32, 2)])
def test_a_block_equals_numpy(ins, planes, stride):
    rng = np.random.default_rng(ins)
    block = SeResNextBottleneck(Style(), ins, planes, stride)
    state = draw(block, rng)
    x = rng.normal(size=(3, ins, 7, 7))

    out = relu(batch_norm(conv2d(x, state["conv1.weight"]), state, "bn1"))
    out = relu(batch_norm(conv2d(out, state["conv2.weight"], stride, 1, groups=32), state, "bn2"))
    out = batch_norm(conv2d(out, state["conv3.weight"]), state, "bn3")
    means = out.mean((2, 3))
    hidden = relu(means @ state["se.fc1.weight"][..., 0, 0].T + state["se.fc1.bias"])
    gate = sigmoid(hidden @ state["se.fc2.weight"][..., 0, 0].T + state["se.fc2.bias"])
    identity = x
    if stride == 2:
        identity = batch_norm(conv2d(x, state["downsample.0.weight"], stride), state, "downsample.1")
    wanted = relu(out * gate[..., None, None] + identity)
    np.testing.assert_allclose(block(flow.tensor(x)).numpy(), wanted, atol=1e-6)
    assert_gradients(block, x, rng)
