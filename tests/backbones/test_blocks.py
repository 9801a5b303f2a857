"""What several families are made of, against NumPy and finite differences, and the options that they share."""

import numpy as np
import oneflow as flow
import pytest
from oneflow import nn

from backbones import get_model
from backbones.blocks import InvertedResidual, SqueezeExcite, Style, conv, divisible
from tests.backbones.layers import assert_gradients, batch_norm, conv2d, draw, relu, sigmoid
from utils.errors import UserError
from utils.pixels import ImageShape

GATES = {"sigmoid": sigmoid, "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1)}
ACTIVATIONS = {
    "relu": relu,
    "relu6": lambda x: np.clip(x, 0, 6),
    "swish": lambda x: x * sigmoid(x),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
}


def excited(x, state, name, gate):
    """`x` times its gate, by ReLU between."""
    squeezed = relu(conv2d(x.mean((2, 3), keepdims=True), state[f"{name}fc1.weight"]) + _bias(state, f"{name}fc1"))
    return x * GATES[gate](conv2d(squeezed, state[f"{name}fc2.weight"]) + _bias(state, f"{name}fc2"))


def _bias(state, name):
    return state[f"{name}.bias"].reshape(1, -1, 1, 1)


def conv_norm(x, state, name, activation=None, **how):
    """BatchNorm in training."""
    out = batch_norm(conv2d(x, state[f"{name}.0.weight"], **how), state, f"{name}.1")
    return ACTIVATIONS[activation](out) if activation else out


@pytest.mark.parametrize("gate", GATES)
def test_squeeze_and_excite_equals_numpy(gate):
    rng = np.random.default_rng(0)
    block = SqueezeExcite(8, 3, gate=gate)
    state = draw(block, rng)
    x = rng.normal(size=(3, 8, 5, 4))
    np.testing.assert_allclose(block(flow.tensor(x)).numpy(), excited(x, state, "", gate), atol=1e-9)
    assert_gradients(block, x, rng)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("ins", "hidden", "outs", "kernel", "stride"), [(4, 12, 4, 3, 1), (6, 6, 5, 5, 2)])
def test_inverted_residual_equals_numpy(activation, ins, hidden, outs, kernel, stride):
    rng = np.random.default_rng(1)
    block = InvertedResidual(
        Style(activation), ins, hidden, outs, kernel, stride, SqueezeExcite(hidden, 2), SqueezeExcite(outs, 2)
    )
    state = draw(block, rng)
    x = rng.normal(size=(3, ins, 7, 6))

    out, number = x, 0
    if hidden != ins:
        out, number = conv_norm(x, state, "block.0", activation), 1
    how = {"stride": stride, "padding": kernel // 2, "groups": hidden}
    out = conv_norm(out, state, f"block.{number}", activation, **how)
    out = excited(out, state, f"block.{number + 1}.", "sigmoid")
    out = excited(conv_norm(out, state, f"block.{number + 2}"), state, f"block.{number + 3}.", "sigmoid")
    np.testing.assert_allclose(block(flow.tensor(x)).numpy(), out + x if ins == outs else out, atol=1e-9)
    assert_gradients(block, x, rng, step=1e-6)


def test_initial_values_are_by_group():
    flow.manual_seed(0)
    for groups, planes, kernel in ((1, 64, 3), (64, 64, 5), (4, 256, 1)):
        values = conv(64, planes, kernel, groups=groups).weight.numpy()
        assert values.std() == pytest.approx(np.sqrt(2 * groups / planes) / kernel, rel=4 / np.sqrt(values.size))


@pytest.mark.parametrize(("channels", "by", "actual"), [(16 * 1.3, 4, 20), (88.08, 8, 88), (10, 8, 16), (3, 8, 8)])
def test_divisible(channels, by, actual):
    assert divisible(channels, by) == actual


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", ["ghostnet", "mobilefacenet", "mobilenet", "mobilenet_v2", "mobilenet_v3_small"])
def test_options(name):
    network = f"{name}(width=0.5, output='e', activation='prelu', pointwise=True, bn_momentum=0.01, bn_eps=1e-3)"
    model = get_model(network)
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    norms = [module for module in model.modules() if isinstance(module, kinds)]
    assert {(module.eps, module.momentum) for module in norms} == {(1e-3, 0.01)}
    assert any(isinstance(module, nn.PReLU) for module in model.features.modules())
    map_of_512 = 512 * {"mobilefacenet": 49, "mobilenet": 9}.get(name, 16)
    assert [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Linear)] == [(512, map_of_512)]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("mobilenet_v2(stem_stride=3)", "stem_stride=3 is not possible"),
        ("mobilenet_v2(width=-1.0)", "width=-1.0 is not possible"),
        ("efficientnet_b0(depth=0)", "depth=0 is not possible"),
        ("mobilenet(width=0.01)", "width=0.01 is not possible"),
        ("ghostnet(activation='tanh')", "there is no activation 'tanh'"),
        ("mobilenet_v3_large(output='gcd')", "there is no output 'gcd'"),
        ("mobilenet_m1(stem_stride=2)", "mobilenet_m1 has no parameter stem_stride"),
    ],
)
def test_impossible_options(network, words):
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        get_model(network)


def test_an_image_too_small():
    with pytest.raises(UserError, match="at least 32x32, not 24x112"):
        get_model("mobilenet", image=ImageShape(24, 112))
