"""MobileNetV2 (Sandler et al., CVPR 2018)."""

from oneflow import nn

from backbones.blocks import InvertedResidual, Style, check_stem, conv_norm, divisible
from backbones.outputs import FeatureNetwork, make_output
from backbones.registry import Sizes, register

_STEM, _LAST = 32, 1280
_STAGES = (  # expansion, channels, blocks, stride of the first of them: the paper's table 2
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV2(FeatureNetwork):
    """Images (B, C, H, W) to embeddings (B, E), of `sizes`."""

    def __init__(
        self, sizes: Sizes, dropout: float, style: Style, width: float, stem_stride: int, output: str, pointwise: bool
    ) -> None:
        super().__init__()
        planes = divisible(_STEM * width)
        layers = [conv_norm(style, sizes.channels, planes, 3, stem_stride)]
        for expansion, channels, blocks, stride in _STAGES:
            for number in range(blocks):
                inplanes, planes = planes, divisible(channels * width)
                step = stride if number == 0 else 1
                layers.append(InvertedResidual(style, inplanes, inplanes * expansion, planes, stride=step))
        last = divisible(_LAST * max(width, 1.0))  # the paper does not narrow it
        layers.append(conv_norm(style, planes, last))
        self.features = nn.Sequential(*layers)
        self.output = make_output(output, last, 3 + stem_stride, sizes, dropout, style, pointwise)


@register("mobilenet_v2")
def mobilenet_v2(
    sizes: Sizes,
    dropout: float,
    width: float = 1.0,
    stem_stride: int = 2,
    output: str = "gdc",
    activation: str = "relu6",
    pointwise: bool = False,
    bn_momentum: float = 0.1,
    bn_eps: float = 1e-5,
) -> MobileNetV2:
    """2.90 million parameters at 512 dimensions."""
    check_stem(stem_stride, width)
    style = Style(activation, bn_momentum, bn_eps)
    return MobileNetV2(sizes, dropout, style, width, stem_stride, output, pointwise)
