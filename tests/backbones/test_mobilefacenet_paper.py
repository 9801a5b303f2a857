"""The paper's MobileFaceNet: names and sizes by its table 1, with and without squeeze-and-excite."""

import pytest

from backbones import get_model
from tests.backbones.mobile_tables import conv_norm, excite, gdc, inverted_residual
from tests.backbones.tables import conv, count, shapes

OUTS = [64] * 5 + [128] * 10
EXPANSIONS = [2] * 5 + [4] + [2] * 6 + [4] + [2] * 2
STRIDED = [0, 5, 12]
TOTAL = {"mobilefacenet": 921_344, "se_mobilefacenet": 946_184}  # 0.92 and 0.95 million


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", TOTAL)
def test_names_and_shapes(name):
    table = conv_norm("features.0", 64, 3, 3, slopes=True)
    table |= conv("features.1", 64, 1, 3) | conv_norm("features.2", 64, 64, slopes=True)
    ins = 64
    for number, (outs, expansion) in enumerate(zip(OUTS, EXPANSIONS, strict=True), start=3):
        block = f"features.{number}"
        table |= inverted_residual(block, ins, ins * expansion, outs, slopes=True)
        if name.startswith("se_"):
            table |= excite(f"{block}.block.3", outs, outs // 16) | {f"{block}.block.3.between.weight": (outs // 16,)}
        ins = outs
    model = get_model(name)
    assert shapes(model) == table | gdc(128, 7, 7, 512)
    assert count(model) == TOTAL[name]


@pytest.mark.usefixtures("no_values")
def test_what_is_added_and_what_is_strided():
    blocks = get_model("mobilefacenet").features[3:]
    assert [number for number, block in enumerate(blocks) if block.block[1][0].stride == (2, 2)] == STRIDED
    assert [number for number, block in enumerate(blocks) if not block.residual] == STRIDED
