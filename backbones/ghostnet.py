"""GhostNet (Han et al., CVPR 2020): half of each layer's channels are cheap depthwise images of the other half.

As Keras_insightface trains it: the paper's 1.3x, but for the last block's expansion and the final layer, which are 512
(times 1.3) and 960 there; and halves are halves, where the paper drops what is too much of an odd number.
"""

import oneflow as flow
from oneflow import nn

from backbones.blocks import SqueezeExcite, Style, check_stem, conv_norm, divisible
from backbones.outputs import FeatureNetwork, make_output
from backbones.registry import Sizes, register

_STEM, _LAST, _MULTIPLE = 16, 512, 4
_BLOCKS = (  # kernel, expanded channels, channels, stride, squeeze-and-excite
    (3, 16, 16, 1, False),
    (3, 48, 24, 2, False),
    (3, 72, 24, 1, False),
    (5, 72, 40, 2, True),
    (5, 120, 40, 1, True),
    (3, 240, 80, 2, False),
    (3, 200, 80, 1, False),
    (3, 184, 80, 1, False),
    (3, 184, 80, 1, False),
    (3, 480, 112, 1, True),
    (3, 672, 112, 1, True),
    (5, 672, 160, 2, True),
    (5, 960, 160, 1, False),
    (5, 960, 160, 1, True),
    (5, 960, 160, 1, False),
    (5, 512, 160, 1, True),
)


class GhostModule(nn.Module):
    """(B, inplanes, H, W) -> (B, planes, H, W), planes even: 1x1 to one half, 3x3 depthwise of it for the other."""

    def __init__(self, style: Style, inplanes: int, planes: int, active: bool) -> None:
        super().__init__()
        half = planes // 2
        self.primary = conv_norm(style, inplanes, half, active=active)
        self.cheap = conv_norm(style, half, half, 3, groups=half, active=active)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        primary = self.primary(x)
        return flow.cat([primary, self.cheap(primary)], dim=1)


class GhostBottleneck(nn.Module):
    """(B, inplanes, H, W) -> (B, planes, H/stride, W/stride): a ghost module each to widen and to narrow.

    Where the shape changes, what is added is a depthwise and a 1x1 convolution of the input.
    """

    def __init__(
        self, style: Style, inplanes: int, hidden: int, planes: int, kernel: int, stride: int, excite: bool
    ) -> None:
        super().__init__()
        layers = [GhostModule(style, inplanes, hidden, active=True)]
        if stride > 1:
            layers.append(conv_norm(style, hidden, hidden, kernel, stride, groups=hidden, active=False))
        if excite:
            squeezed = divisible(hidden / 4, _MULTIPLE)
            layers.append(SqueezeExcite(hidden, squeezed, style.activate(squeezed), gate="hard_sigmoid"))
        self.block = nn.Sequential(*layers, GhostModule(style, hidden, planes, active=False))
        self.shortcut = None
        if stride > 1 or inplanes != planes:
            self.shortcut = nn.Sequential(
                conv_norm(style, inplanes, inplanes, kernel, stride, groups=inplanes, active=False),
                conv_norm(style, inplanes, planes, active=False),
            )

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.block(x) + (x if self.shortcut is None else self.shortcut(x))


class GhostNet(FeatureNetwork):
    """Images (B, C, H, W) to embeddings (B, E), of `sizes`."""

    def __init__(
        self, sizes: Sizes, dropout: float, style: Style, width: float, stem_stride: int, output: str, pointwise: bool
    ) -> None:
        super().__init__()
        planes = divisible(_STEM * width, _MULTIPLE)
        layers = [conv_norm(style, sizes.channels, planes, 3, stem_stride)]
        for kernel, expanded, channels, stride, excite in _BLOCKS:
            inplanes, planes, hidden = planes, *(divisible(size * width, _MULTIPLE) for size in (channels, expanded))
            layers.append(GhostBottleneck(style, inplanes, hidden, planes, kernel, stride, excite))
        last = divisible(_LAST * width, _MULTIPLE)
        layers.append(conv_norm(style, planes, last))
        self.features = nn.Sequential(*layers)
        self.output = make_output(output, last, 3 + stem_stride, sizes, dropout, style, pointwise)


@register("ghostnet")
def ghostnet(
    sizes: Sizes,
    dropout: float,
    width: float = 1.3,
    stem_stride: int = 2,
    output: str = "gdc",
    activation: str = "relu",
    pointwise: bool = False,
    bn_momentum: float = 0.1,
    bn_eps: float = 1e-5,
) -> GhostNet:
    """4.03 million parameters at 512 dimensions."""
    check_stem(stem_stride, width)
    style = Style(activation, bn_momentum, bn_eps)
    return GhostNet(sizes, dropout, style, width, stem_stride, output, pointwise)
