"""ResNet: names and sizes by the paper's table, blocks against NumPy, and the stem's kinds."""

import numpy as np
import oneflow as flow
import pytest

from backbones import get_model
from backbones.blocks import Style
from backbones.residual import Bottleneck
from tests.backbones.layers import assert_gradients, batch_norm, conv2d, draw, relu
from tests.backbones.tables import conv, count, norm, shapes
from utils.errors import UserError
from utils.pixels import ImageShape

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
# torchvision's, which end in a layer of 1000 classes of ImageNet.
PARAMETERS = {"resnet50": 25_557_032, "resnet101": 44_549_160, "resnet152": 60_192_808}
CLASSES = 2048 * 1000 + 1000


def bottlenecks(blocks, block, first):
    """Names and shapes of stages of bottlenecks: block(name, ins, planes) is what a kind has of its own."""
    table, ins = {}, first
    for stage, number_of_blocks in enumerate(blocks):
        planes = 64 << stage
        for number in range(number_of_blocks):
            name = f"layer{stage + 1}.{number}"
            table |= block(name, ins, planes)
            ins = 4 * planes
    return table


def _block(name, ins, planes):
    table = conv(f"{name}.conv1", planes, ins) | norm(f"{name}.bn1", planes)
    table |= conv(f"{name}.conv2", planes, planes, 3) | norm(f"{name}.bn2", planes)
    table |= conv(f"{name}.conv3", 4 * planes, planes) | norm(f"{name}.bn3", 4 * planes)
    if name.endswith(".0"):
        table |= conv(f"{name}.downsample.0", 4 * planes, ins) | norm(f"{name}.downsample.1", 4 * planes)
    return table


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", BLOCKS)
def test_names_and_shapes(name):
    stem = conv("conv1", 64, 3, 7) | norm("bn1", 64)
    model = get_model(name, 256)
    assert shapes(model, but=["output."]) == stem | bottlenecks(BLOCKS[name], _block, 64)
    assert count(model, but=["output."]) == PARAMETERS[name] - CLASSES
    # GDC: 4x4 places of 2048 channels, BatchNorm, Linear, BatchNorm.
    assert count(model) - count(model, but=["output."]) == 2048 * (16 + 2) + 2048 * 256 + 2 * 256


@pytest.mark.parametrize(("ins", "stride"), [(16, 1), (6, 1), (6, 2)])
def test_a_block_equals_numpy(ins, stride):
    rng = np.random.default_rng(ins + stride)
    block = Bottleneck(Style(), ins, 4, stride)
    state = draw(block, rng)
    x = rng.normal(size=(3, ins, 7, 7))

    out = relu(batch_norm(conv2d(x, state["conv1.weight"]), state, "bn1"))
    out = relu(batch_norm(conv2d(out, state["conv2.weight"], stride, 1), state, "bn2"))
    out = batch_norm(conv2d(out, state["conv3.weight"]), state, "bn3")
    identity = x
    if ins != 16:
        identity = batch_norm(conv2d(x, state["downsample.0.weight"], stride), state, "downsample.1")
    np.testing.assert_allclose(block(flow.tensor(x)).numpy(), relu(out + identity), atol=1e-6)
    assert_gradients(block, x, rng)


@pytest.mark.parametrize("name", ["resnet50", "resnet50_v2", "se_resnext50", "resnest50"])
@pytest.mark.parametrize(("stem", "places"), [("imagenet", (3, 4)), ("face", (6, 7))])
def test_a_stem_decides_on_the_places_of_the_last_map(name, stem, places):
    """96x112 pixels, the height of SphereFace's faces, here in gray."""
    model = get_model(f"{name}(stem='{stem}', width=0.25)", 8, image=ImageShape(96, 112, 1)).eval()
    assert tuple(model.state_dict()["output.0.weight"].shape) == (512, 1, *places)
    assert tuple(model(flow.randn(2, 1, 96, 112)).shape) == (2, 8)


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", ["resnet50", "resnet50_v2", "se_resnext50", "resnest50"])
def test_every_activation_may_have_slopes(name):
    model = get_model(f"{name}(activation='prelu', width=0.25)")
    slopes = [module for module in model.modules() if isinstance(module, flow.nn.PReLU)]
    # Three a block, and the stem's or the last; in ResNeSt a deep stem's, and one more in each split attention.
    assert len(slopes) == (3 + 4 * 16 if name == "resnest50" else 1 + 3 * 16)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("stem='iresnet'", "there is no stem 'iresnet'; there are imagenet, face"),
        ("width=0", "width=0 is not possible: it multiplies numbers of channels, as 0.5 does"),
        ("output='gcd'", "there is no output 'gcd'; there are e, gdc, gap, f"),
        ("activation='gelu'", "there is no activation 'gelu'; there are relu, "),
        ("blocks=(1, 1, 1, 1)", "resnet50 has no parameter blocks"),
    ],
)
def test_what_is_no_option(options, sentence):
    with pytest.raises(UserError) as error:
        get_model(f"resnet50({options})")
    assert sentence in str(error.value)
