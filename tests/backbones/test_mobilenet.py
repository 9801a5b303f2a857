"""MobileNet: names and sizes by the paper's table 1, and its padding against NumPy."""

import numpy as np
import oneflow as flow
import pytest

from backbones import get_model
from backbones.blocks import Style
from backbones.mobilenet import _strided
from tests.backbones.layers import assert_gradients, batch_norm, conv2d, draw, relu
from tests.backbones.mobile_tables import conv_norm, gdc
from tests.backbones.tables import conv, count, norm, shapes

CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
STRIDED = (1, 3, 5, 11)
FEATURES = 3_206_976  # Keras' trainable ones, without the classes
TOTAL = {"mobilenet": 3_743_552, "mobilenet_m1": 3_784_512}  # 3.74 and 3.78 million


def _padded(name, outs, ins):
    return conv(f"{name}.1", outs, ins, 3) | norm(f"{name}.2", outs)


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize(("name", "map_size"), [("mobilenet", 3), ("mobilenet_m1", 7)])
def test_names_and_shapes(name, map_size):
    stem = _padded if name == "mobilenet" else lambda *place: conv_norm(*place, 3)
    table, ins = stem("features.0", 32, 3), 32
    for number, outs in enumerate(CHANNELS):
        depthwise = f"features.{2 * number + 1}"
        table |= _padded(depthwise, ins, 1) if number in STRIDED else conv_norm(depthwise, ins, 1, 3)
        table |= conv_norm(f"features.{2 * number + 2}", outs, ins)
        ins = outs
    model = get_model(name)
    assert shapes(model) == table | gdc(1024, map_size, map_size, 512)
    assert count(model, but=["output."]) == FEATURES
    assert count(model) == TOTAL[name]


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("size", [(7, 7), (8, 6)])
def test_padding_is_on_the_right_and_below(groups, size):
    rng = np.random.default_rng(0)
    layer = _strided(Style("relu"), 4, 8, groups)
    state = draw(layer, rng)
    x = rng.normal(size=(3, 4, *size))
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)))
    wanted = relu(batch_norm(conv2d(padded, state["1.weight"], 2, groups=groups), state, "2"))
    assert wanted.shape[2:] == (size[0] // 2, size[1] // 2)
    np.testing.assert_allclose(layer(flow.tensor(x)).numpy(), wanted, atol=1e-9)
    assert_gradients(layer, x, rng, step=1e-6)
