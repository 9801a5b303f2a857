"""MobileFaceNet as its paper has it (Chen et al., "MobileFaceNets", CCBR 2018, table 1), and with squeeze-and-excite.

InsightFace's `mbf`, of twice the widths, is in backbones/mobilefacenet.py. The paper's 1x1 convolution to 512 channels
before the output is the option `pointwise=True`, which Keras_insightface leaves out by default.
"""

from oneflow import nn

from backbones.blocks import InvertedResidual, SqueezeExcite, Style, check_stem, conv, conv_norm, divisible
from backbones.outputs import FeatureNetwork, make_output
from backbones.registry import Sizes, register

_STEM = 64
_STAGES = ((5, 64, 2, 2), (1, 128, 2, 4), (6, 128, 1, 2), (1, 128, 2, 4), (2, 128, 1, 2))
# blocks, channels, stride of the first of them, expansion
_SQUEEZE = 16


class MobileFaceNetPaper(FeatureNetwork):
    """Images (B, C, H, W) to embeddings (B, E), of `sizes`; `excite`: channel attention after each projection."""

    def __init__(
        self, sizes: Sizes, dropout: float, style: Style, excite: bool, width: float, output: str, pointwise: bool
    ) -> None:
        super().__init__()
        planes = divisible(_STEM * width)
        layers = [
            conv_norm(style, sizes.channels, planes, 3, stride=2),
            # Depthwise and 1x1, with one BatchNorm and activation after both.
            conv(planes, planes, 3, groups=planes),
            conv_norm(style, planes, planes),
        ]
        for blocks, channels, stride, expansion in _STAGES:
            for number in range(blocks):
                inplanes, planes = planes, divisible(channels * width)
                squeezed = max(1, planes // _SQUEEZE)
                gate = SqueezeExcite(planes, squeezed, style.activate(squeezed)) if excite else None
                step = stride if number == 0 else 1
                layers.append(
                    InvertedResidual(style, inplanes, inplanes * expansion, planes, stride=step, output_gate=gate)
                )
        self.features = nn.Sequential(*layers)
        self.output = make_output(output, planes, 4, sizes, dropout, style, pointwise)


@register("mobilefacenet", excite=False)
@register("se_mobilefacenet", excite=True)
def mobilefacenet_paper(
    sizes: Sizes,
    dropout: float,
    excite: bool,
    width: float = 1.0,
    output: str = "gdc",
    activation: str = "prelu",
    pointwise: bool = False,
    bn_momentum: float = 0.1,
    bn_eps: float = 1e-5,
) -> MobileFaceNetPaper:
    """0.92 and 0.95 million parameters at 512 dimensions."""
    check_stem(2, width)
    style = Style(activation, bn_momentum, bn_eps)
    return MobileFaceNetPaper(sizes, dropout, style, excite, width, output, pointwise)
