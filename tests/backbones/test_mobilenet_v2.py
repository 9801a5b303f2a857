"""MobileNetV2: names and sizes by the paper's table 2."""

import pytest

from backbones import get_model
from backbones.blocks import InvertedResidual
from tests.backbones.mobile_tables import conv_norm, gdc, inverted_residual
from tests.backbones.tables import count, shapes

OUTS = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
STRIDED = [1, 3, 6, 13]
FEATURES = 3_504_872 - 1_281_000  # torchvision's, but for the classes
TOTAL = 2_903_296  # 2.90 million


@pytest.mark.usefixtures("no_values")
def test_names_and_shapes():
    table, ins = conv_norm("features.0", 32, 3, 3), 32
    for number, outs in enumerate(OUTS):
        table |= inverted_residual(f"features.{number + 1}", ins, ins * (6 if number else 1), outs)
        ins = outs
    model = get_model("mobilenet_v2")
    assert shapes(model) == table | conv_norm("features.18", 1280, 320) | gdc(1280, 4, 4, 512)
    assert count(model, but=["output."]) == FEATURES
    assert count(model) == TOTAL


@pytest.mark.usefixtures("no_values")
def test_what_is_added_and_what_is_strided():
    blocks = [block for block in get_model("mobilenet_v2").features if isinstance(block, InvertedResidual)]
    assert [number for number, block in enumerate(blocks) if block.block[-2][0].stride == (2, 2)] == STRIDED
    assert [block.residual for block in blocks] == [a == b for a, b in zip([32, *OUTS], OUTS, strict=False)]


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize(("width", "last"), [(0.5, 1280), (1.4, 1792)])
def test_the_last_layer_is_widened_and_never_narrowed(width, last):
    assert get_model(f"mobilenet_v2(width={width})").features[-1][0].weight.shape[0] == last
