"""EfficientNet: names and sizes by the paper's table 1 and rules of scaling, and the counts that were published."""

import math

import pytest

from backbones import get_model
from backbones.drawn import DropPath
from tests.backbones.mobile_tables import conv_norm, eights, gdc, inverted_residual
from tests.backbones.tables import count, shapes
from utils.errors import UserError

STAGES = [(1, 3, 16, 1), (6, 3, 24, 2), (6, 5, 40, 2), (6, 3, 80, 3), (6, 5, 112, 3), (6, 5, 192, 4), (6, 3, 320, 1)]
# Width, depth, and the parameters of timm and torchvision, which have 1000 classes.
SCALES = {
    "b0": (1.0, 1.0, 5_288_548),
    "b1": (1.0, 1.1, 7_794_184),
    "b2": (1.1, 1.2, 9_109_994),
    "b3": (1.2, 1.4, 12_233_232),
    "b4": (1.4, 1.8, 19_341_616),
    "b5": (1.6, 2.2, 30_389_784),
    "b6": (1.8, 2.6, 43_040_704),
    "b7": (2.0, 3.1, 66_347_960),
    "l2": (4.3, 5.3, 480_309_308),
}


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("size", SCALES)
def test_names_and_shapes(size):
    width, depth, published = SCALES[size]
    ins = eights(32 * width)
    table = conv_norm("features.0", ins, 3, 3)
    for stage, (expansion, kernel, outs, blocks) in enumerate(STAGES, start=1):
        for number in range(math.ceil(blocks * depth)):
            squeezed, hidden, wide = max(1, int(ins * 0.25)), ins * expansion, eights(outs * width)
            table |= inverted_residual(f"features.{stage}.{number}", ins, hidden, wide, kernel, squeezed)
            ins = wide
    last = eights(1280 * width)
    table |= conv_norm("features.8", last, ins)
    model = get_model(f"efficientnet_{size}", 128)
    assert shapes(model) == table | gdc(last, 4, 4, 128)
    assert count(model, but=["output."]) == published - (last * 1000 + 1000)


@pytest.mark.usefixtures("no_values")
def test_stages_are_strided_at_their_first_block():
    stages = get_model("efficientnet_b1").features[1:8]
    strides = [[next(part for part in b.block if part[0].groups > 1)[0].stride[0] for b in stage] for stage in stages]
    assert [first for first, *_ in strides] == [1, 2, 2, 2, 1, 2, 1]
    assert {stride for _, *others in strides for stride in others} == {1}


@pytest.mark.usefixtures("no_values")
def test_paths_are_left_out_more_often_the_deeper_they_are():
    network = get_model("efficientnet_b0")
    actual = {name: part.share for name, part in network.named_modules() if isinstance(part, DropPath)}
    blocks = [f"features.{stage}.{n}" for stage, (*_, count) in enumerate(STAGES, start=1) for n in range(count)]
    added = [block for block in blocks if not block.endswith(".0")]  # a stage's first block adds nothing to its input
    assert actual == pytest.approx({f"{block}.block.4": 0.2 * blocks.index(block) / 16 for block in added})
    for written in ("efficientnet_b0(drop_path=0.0)", "mobilenet_v2"):
        assert not any(isinstance(part, DropPath) for part in get_model(written).modules())


def test_a_share_that_is_none_is_refused():
    with pytest.raises(UserError, match=r"drop_path = 1\.5 is not possible"):
        get_model("efficientnet_b0(drop_path=1.5)")
