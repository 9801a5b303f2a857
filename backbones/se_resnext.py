"""SE-ResNeXt 50 and 101, 32 x 4d: bottlenecks of 32 groups (Xie et al., "Aggregated Residual Transformations for Deep
Neural Networks", CVPR 2017) with channel attention (Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018).

Parameter names are those of timm's seresnext, but for those of the output.
"""

from oneflow import nn

from backbones.blocks import SqueezeExcite, Style, conv, divisible
from backbones.registry import Sizes, register
from backbones.residual import EXPANSION, Bottleneck, ResNet, find_stem, first_planes, output_maker

GROUPS = 32
REDUCTION = 16


class SeResNextBottleneck(Bottleneck):
    """A bottleneck whose 3x3 convolution has 32 groups of planes / 16 channels, and attention before the sum."""

    def inner(self, planes: int) -> int:
        return GROUPS * (planes // 16)

    def make_middle(self, style: Style, inner: int, stride: int) -> None:
        self.conv2, self.bn2 = conv(inner, inner, 3, stride, groups=GROUPS), style.norm(inner)
        self.act2 = style.activate(inner)

    def make_attention(self, planes: int) -> None:
        channels = EXPANSION * planes
        self.se = SqueezeExcite(channels, divisible(channels / REDUCTION))


@register("se_resnext50", blocks=(3, 4, 6, 3))
@register("se_resnext101", blocks=(3, 4, 23, 3))
def se_resnext(
    sizes: Sizes,
    dropout: float,
    blocks: tuple[int, int, int, int],
    output: str = "gdc",
    activation: str = "relu",
    pointwise: bool = False,
    bn_momentum: float = 0.1,
    bn_eps: float = 1e-5,
    stem: str = "imagenet",
    width: float = 1.0,
) -> nn.Module:
    """26.6 and 48.0 million parameters with GDC of 512 dimensions; options as those of `resnet`.

    width: in quarters, for a group of the first stage has 4 channels.
    """
    style, begin = Style(activation, bn_momentum, bn_eps), find_stem(stem)
    planes = first_planes(width, by=16)
    conv1 = conv(sizes.channels, planes, begin.kernel, begin.stride)
    make_output = output_maker(output, sizes, dropout, style, pointwise)
    return ResNet(style, begin, conv1, planes, SeResNextBottleneck, planes, blocks, make_output)
