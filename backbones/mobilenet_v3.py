"""MobileNetV3 (Howard et al., "Searching for MobileNetV3", ICCV 2019), small and large."""

from oneflow import nn

from backbones.blocks import InvertedResidual, SqueezeExcite, Style, check_stem, conv_norm, divisible
from backbones.outputs import FeatureNetwork, make_output
from backbones.registry import Sizes, register

_STEM, _LAST_EXPANSION = 16, 6
Block = tuple[int, int, int, int, bool, bool]
# Kernel, expanded channels, channels, stride, squeeze-and-excite, h-swish: the paper's tables 1 and 2. The first three
# of small's expansions are its table's 1, 4.5 and 3.67.
_SMALL: tuple[Block, ...] = (
    (3, 16, 16, 2, True, False),
    (3, 72, 24, 2, False, False),
    (3, 88, 24, 1, False, False),
    (5, 96, 40, 2, True, True),
    (5, 240, 40, 1, True, True),
    (5, 240, 40, 1, True, True),
    (5, 120, 48, 1, True, True),
    (5, 144, 48, 1, True, True),
    (5, 288, 96, 2, True, True),
    (5, 576, 96, 1, True, True),
    (5, 576, 96, 1, True, True),
)
_LARGE: tuple[Block, ...] = (
    (3, 16, 16, 1, False, False),
    (3, 64, 24, 2, False, False),
    (3, 72, 24, 1, False, False),
    (5, 72, 40, 2, True, False),
    (5, 120, 40, 1, True, False),
    (5, 120, 40, 1, True, False),
    (3, 240, 80, 2, False, True),
    (3, 200, 80, 1, False, True),
    (3, 184, 80, 1, False, True),
    (3, 184, 80, 1, False, True),
    (3, 480, 112, 1, True, True),
    (3, 672, 112, 1, True, True),
    (5, 672, 160, 2, True, True),
    (5, 960, 160, 1, True, True),
    (5, 960, 160, 1, True, True),
)


class MobileNetV3(FeatureNetwork):
    """Images (B, C, H, W) to embeddings (B, E), of `sizes`; `early` is the style of the blocks without h-swish.

    The tensors of `features` have torchvision's names.
    """

    def __init__(
        self,
        sizes: Sizes,
        dropout: float,
        style: Style,
        early: Style,
        blocks: tuple[Block, ...],
        width: float,
        stem_stride: int,
        output: str,
        pointwise: bool,
    ) -> None:
        super().__init__()
        planes = divisible(_STEM * width)
        layers = [conv_norm(style, sizes.channels, planes, 3, stem_stride)]
        for kernel, expanded, channels, stride, excite, late in blocks:
            inplanes, planes, hidden = planes, divisible(channels * width), divisible(expanded * width)
            gate = SqueezeExcite(hidden, divisible(hidden / 4), gate="hard_sigmoid") if excite else None
            layers.append(InvertedResidual(style if late else early, inplanes, hidden, planes, kernel, stride, gate))
        last = _LAST_EXPANSION * planes
        layers.append(conv_norm(style, planes, last))
        self.features = nn.Sequential(*layers)
        self.output = make_output(output, last, 3 + stem_stride, sizes, dropout, style, pointwise)


@register("mobilenet_v3_small", blocks=_SMALL)
@register("mobilenet_v3_large", blocks=_LARGE)
def mobilenet_v3(
    sizes: Sizes,
    dropout: float,
    blocks: tuple[Block, ...],
    width: float = 1.0,
    stem_stride: int = 2,
    output: str = "gdc",
    activation: str = "hard_swish",
    early_activation: str = "relu",
    pointwise: bool = False,
    bn_momentum: float = 0.1,
    bn_eps: float = 1e-5,
) -> MobileNetV3:
    """1.23 and 3.48 million parameters at 512 dimensions."""
    check_stem(stem_stride, width)
    style, early = (Style(name, bn_momentum, bn_eps) for name in (activation, early_activation))
    return MobileNetV3(sizes, dropout, style, early, blocks, width, stem_stride, output, pointwise)
