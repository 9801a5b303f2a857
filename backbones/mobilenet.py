"""MobileNet (Howard et al., 2017): depthwise separable convolutions all the way.

As Keras' applications have it: its strided convolutions pad on the right and below only, so that the 7x7 pixels before
the last of them become 3x3.
"""

from dataclasses import replace

from oneflow import nn

from backbones.blocks import Style, check_stem, conv, conv_norm
from backbones.outputs import FeatureNetwork, make_output
from backbones.registry import Sizes, register
from utils.errors import UserError

_STEM = 32
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
# channels, stride


def _strided(style: Style, inplanes: int, planes: int, groups: int = 1) -> nn.Sequential:
    """3x3 of stride 2, BatchNorm and activation: (B, inplanes, H, W) -> (B, planes, H // 2, W // 2)."""
    layer = conv(inplanes, planes, 3, stride=2, groups=groups)
    layer.padding = (0, 0)
    return nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), layer, style.norm(planes), style.activate(planes))


def _conv3(style: Style, inplanes: int, planes: int, stride: int, groups: int = 1) -> nn.Sequential:
    if stride == 2:
        return _strided(style, inplanes, planes, groups)
    return conv_norm(style, inplanes, planes, 3, groups=groups)


class MobileNet(FeatureNetwork):
    """Images (B, C, H, W) to embeddings (B, E), of `sizes`."""

    def __init__(
        self, sizes: Sizes, dropout: float, style: Style, width: float, stem_stride: int, output: str, pointwise: bool
    ) -> None:
        super().__init__()
        planes = int(_STEM * width)
        layers = [_conv3(style, sizes.channels, planes, stem_stride)]
        for channels, stride in _BLOCKS:
            inplanes, planes = planes, int(channels * width)
            layers += [_conv3(style, inplanes, inplanes, stride, groups=inplanes), conv_norm(style, inplanes, planes)]
        self.features = nn.Sequential(*layers)
        shrunk = 16 * stem_stride
        last_map = sizes.image._replace(height=sizes.image.height // shrunk, width=sizes.image.width // shrunk)
        self.output = make_output(output, planes, 0, replace(sizes, image=last_map), dropout, style, pointwise)


@register("mobilenet", stem_stride=2)
@register("mobilenet_m1", stem_stride=1)
def mobilenet(
    sizes: Sizes,
    dropout: float,
    stem_stride: int,
    width: float = 1.0,
    output: str = "gdc",
    activation: str = "relu6",
    pointwise: bool = False,
    bn_momentum: float = 0.1,
    bn_eps: float = 1e-5,
) -> MobileNet:
    """3.74 and 3.78 million parameters at 512 dimensions; m1 begins at full size (MXNet's, for small images)."""
    check_stem(stem_stride, width)
    if int(_STEM * width) < 1:
        raise UserError(f"width={width} is not possible: the first layer would have no channels")
    height, width_of_images, _ = sizes.image
    if min(height, width_of_images) < 16 * stem_stride:
        least = 16 * stem_stride
        raise UserError(f"this network needs images of at least {least}x{least}, not {height}x{width_of_images}")
    style = Style(activation, bn_momentum, bn_eps)
    return MobileNet(sizes, dropout, style, width, stem_stride, output, pointwise)
