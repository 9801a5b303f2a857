"""ResNet 50, 101 and 152 (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016).

Parameter names are torchvision's and timm's, but for those of the output.
"""

from oneflow import nn

from backbones.blocks import Style, conv
from backbones.registry import Sizes, register
from backbones.residual import Bottleneck, ResNet, find_stem, first_planes, output_maker


@register("resnet50", blocks=(3, 4, 6, 3))
@register("resnet101", blocks=(3, 4, 23, 3))
@register("resnet152", blocks=(3, 8, 36, 3))
def resnet(
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
    """24.6, 43.6 and 59.2 million parameters with GDC of 512 dimensions.

    stem: "imagenet" or "face", see `find_stem`; width: multiplies the numbers of channels.
    """
    style, begin = Style(activation, bn_momentum, bn_eps), find_stem(stem)
    planes = first_planes(width)
    conv1 = conv(sizes.channels, planes, begin.kernel, begin.stride)
    make_output = output_maker(output, sizes, dropout, style, pointwise)
    return ResNet(style, begin, conv1, planes, Bottleneck, planes, blocks, make_output)
