"""MobileNetV3: names and sizes by the paper's tables 1 and 2."""

import pytest

from backbones import get_model
from backbones.blocks import InvertedResidual
from tests.backbones.mobile_tables import conv_norm, eights, gdc, inverted_residual
from tests.backbones.tables import count, shapes

# Expansion, channels, kernel, stride, squeeze-and-excite.
SMALL = [
    *[(1, 16, 3, 2, 1), (4.5, 24, 3, 2, 0), (3.67, 24, 3, 1, 0), (4, 40, 5, 2, 1), (6, 40, 5, 1, 1), (6, 40, 5, 1, 1)],
    *[(3, 48, 5, 1, 1), (3, 48, 5, 1, 1), (6, 96, 5, 2, 1), (6, 96, 5, 1, 1), (6, 96, 5, 1, 1)],
]
LARGE = [
    *[(1, 16, 3, 1, 0), (4, 24, 3, 2, 0), (3, 24, 3, 1, 0), (3, 40, 5, 2, 1), (3, 40, 5, 1, 1), (3, 40, 5, 1, 1)],
    *[(6, 80, 3, 2, 0), (2.5, 80, 3, 1, 0), (2.3, 80, 3, 1, 0), (2.3, 80, 3, 1, 0), (6, 112, 3, 1, 1)],
    *[(6, 112, 3, 1, 1), (6, 160, 5, 2, 1), (6, 160, 5, 1, 1), (6, 160, 5, 1, 1)],
]
BLOCKS = {"mobilenet_v3_small": SMALL, "mobilenet_v3_large": LARGE}
WITH_RELU = {"mobilenet_v3_small": 3, "mobilenet_v3_large": 6}  # the others have h-swish
# torchvision's, but for what follows the mean of all places.
FEATURES = {
    "mobilenet_v3_small": 2_542_856 - (576 * 1024 + 1024) - (1024 * 1000 + 1000),
    "mobilenet_v3_large": 5_483_032 - (960 * 1280 + 1280) - (1280 * 1000 + 1000),
}
TOTAL = {"mobilenet_v3_small": 1_233_312, "mobilenet_v3_large": 3_481_776}  # 1.23 and 3.48 million


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", BLOCKS)
def test_names_and_shapes(name):
    table, ins = conv_norm("features.0", 16, 3, 3), 16
    for number, (expansion, outs, kernel, _, excited) in enumerate(BLOCKS[name]):
        hidden = eights(ins * expansion)
        squeezed = eights(hidden / 4) if excited else 0
        table |= inverted_residual(f"features.{number + 1}", ins, hidden, outs, kernel, squeezed)
        ins = outs
    table |= conv_norm(f"features.{len(BLOCKS[name]) + 1}", 6 * ins, ins)
    model = get_model(name)
    assert shapes(model) == table | gdc(6 * ins, 4, 4, 512)
    assert count(model, but=["output."]) == FEATURES[name]
    assert count(model) == TOTAL[name]


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", BLOCKS)
def test_strides_and_activations(name):
    blocks = [block for block in get_model(name).features if isinstance(block, InvertedResidual)]
    # The depthwise convolution is the second, or the first of a block that does not widen.
    depthwise = [next(part for part in block.block if part[0].groups > 1) for block in blocks]
    assert [part[0].stride[0] for part in depthwise] == [stride for *_, stride, _ in BLOCKS[name]]
    assert [type(part[2]).__name__ for part in depthwise] == [
        "ReLU" if number < WITH_RELU[name] else "Hardswish" for number in range(len(blocks))
    ]
