"""GhostNet: names and sizes by Keras_insightface's table, blocks against NumPy."""

import numpy as np
import oneflow as flow
import pytest

from backbones import get_model
from backbones.blocks import Style
from backbones.ghostnet import GhostBottleneck, GhostModule
from tests.backbones.layers import assert_gradients, draw
from tests.backbones.mobile_tables import conv_norm, excite, gdc
from tests.backbones.tables import count, shapes
from tests.backbones.test_blocks import conv_norm as numpy_conv_norm
from tests.backbones.test_blocks import excited

KERNELS = [3, 3, 3, 5, 5, *[3] * 6, *[5] * 5]
EXPANDED = [16, 48, 72, 72, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960, 960, 512]
OUTS = [16, 24, 24, 40, 40, *[80] * 4, *[112] * 2, *[160] * 5]
STRIDED, EXCITED = [2, 4, 6, 12], [4, 5, 10, 11, 12, 14, 16]  # from 1
TOTAL = 4_027_760  # 4.03 million


def _fours(channels):
    return 4 * int(channels / 4 + 0.5)


def _module(name, outs, ins):
    return conv_norm(f"{name}.primary", outs // 2, ins) | conv_norm(f"{name}.cheap", outs // 2, 1, 3)


@pytest.mark.usefixtures("no_values")
def test_names_and_shapes():
    ins = _fours(16 * 1.3)
    table = conv_norm("features.0", ins, 3, 3)
    for number, (kernel, expanded, outs) in enumerate(zip(KERNELS, EXPANDED, OUTS, strict=True), start=1):
        block, hidden, wide, place = f"features.{number}", _fours(expanded * 1.3), _fours(outs * 1.3), 1
        table |= _module(f"{block}.block.0", hidden, ins)
        if number in STRIDED:
            table |= conv_norm(f"{block}.block.{place}", hidden, 1, kernel)
            place += 1
        if number in EXCITED:
            table |= excite(f"{block}.block.{place}", hidden, _fours(hidden / 4))
            place += 1
        table |= _module(f"{block}.block.{place}", wide, hidden)
        if number in STRIDED or wide != ins:
            table |= conv_norm(f"{block}.shortcut.0", ins, 1, kernel) | conv_norm(f"{block}.shortcut.1", wide, ins)
        ins = wide
    model = get_model("ghostnet")
    assert shapes(model) == table | conv_norm("features.17", 664, ins) | gdc(664, 4, 4, 512)
    assert count(model) == TOTAL


def _ghost(x, state, name, activation):
    primary = numpy_conv_norm(x, state, f"{name}primary", activation)
    cheap = numpy_conv_norm(primary, state, f"{name}cheap", activation, padding=1, groups=primary.shape[1])
    return np.concatenate([primary, cheap], 1)


@pytest.mark.parametrize("active", [True, False])
def test_a_ghost_module_equals_numpy(active):
    rng = np.random.default_rng(0)
    module = GhostModule(Style("swish"), 5, 8, active)
    state = draw(module, rng)
    x = rng.normal(size=(3, 5, 6, 7))
    wanted = _ghost(x, state, "", "swish" if active else None)
    np.testing.assert_allclose(module(flow.tensor(x)).numpy(), wanted, atol=1e-9)
    assert_gradients(module, x, rng)


@pytest.mark.parametrize(("ins", "outs", "stride"), [(6, 6, 1), (6, 10, 1), (6, 6, 2)])
def test_a_bottleneck_equals_numpy(ins, outs, stride):
    rng = np.random.default_rng(0)
    block = GhostBottleneck(Style("relu"), ins, 16, outs, kernel=5, stride=stride, excite=True)
    state = draw(block, rng)
    x = rng.normal(size=(3, ins, 7, 6))

    out, place = _ghost(x, state, "block.0.", "relu"), 1
    if stride == 2:
        out, place = numpy_conv_norm(out, state, "block.1", stride=2, padding=2, groups=16), 2
    out = excited(out, state, f"block.{place}.", "hard_sigmoid")
    out = _ghost(out, state, f"block.{place + 1}.", None)
    identity = x
    if stride == 2 or ins != outs:
        identity = numpy_conv_norm(x, state, "shortcut.0", stride=stride, padding=2, groups=ins)
        identity = numpy_conv_norm(identity, state, "shortcut.1")
    np.testing.assert_allclose(block(flow.tensor(x)).numpy(), out + identity, atol=1e-9)
    assert_gradients(block, x, rng, step=1e-6)
