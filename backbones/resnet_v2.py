"""ResNet 50, 101 and 152 of version 2, whose blocks begin with BatchNorm and activation and add nothing after the sum
(He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016).

Parameter names are those of timm's resnetv2, but for those of the output.
"""

from collections import OrderedDict
from collections.abc import Sequence

import oneflow as flow
from oneflow import nn

from backbones.blocks import Style, conv
from backbones.registry import Sizes, register
from backbones.residual import EXPANSION, Output, Stem, find_stem, first_planes, make_stages, output_maker


class PreActivation(nn.Module):
    """Residual block (B, inplanes, H, W) -> (B, 4 planes, H/stride, W/stride); a projected shortcut shares the first
    BatchNorm and activation.
    """

    any_layout = True

    def __init__(self, style: Style, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        outplanes = EXPANSION * planes
        self.norm1, self.act1, self.conv1 = style.norm(inplanes), style.activate(inplanes), conv(inplanes, planes)
        self.norm2, self.act2, self.conv2 = style.norm(planes), style.activate(planes), conv(planes, planes, 3, stride)
        self.norm3, self.act3, self.conv3 = style.norm(planes), style.activate(planes), conv(planes, outplanes)
        self.downsample = None
        if stride != 1 or inplanes != outplanes:
            self.downsample = nn.Sequential(OrderedDict(conv=conv(inplanes, outplanes, 1, stride)))

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        before = self.act1(self.norm1(x))
        identity = x if self.downsample is None else self.downsample(before)
        out = self.conv2(self.act2(self.norm2(self.conv1(before))))
        return self.conv3(self.act3(self.norm3(out))) + identity


class _Stage(nn.Module):
    """A stage, as timm nests it."""

    any_layout = True

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.blocks(x)


class ResNetV2(nn.Module):
    """Images (B, C, H, W) to embeddings (B, E), with so many planes in the first stage."""

    any_layout = True

    def __init__(
        self, style: Style, stem: Stem, channels: int, planes: int, blocks: Sequence[int], output: Output
    ) -> None:
        super().__init__()
        first = conv(channels, planes, stem.kernel, stem.stride)
        self.stem = nn.Sequential(OrderedDict(conv=first, pool=stem.pool()))
        stages = make_stages(PreActivation, style, planes, planes, blocks, stem.strides)
        self.stages = nn.Sequential(*map(_Stage, stages))
        last = EXPANSION * planes << 3
        self.norm, self.act = style.norm(last), style.activate(last)
        self.output = output(last, stem.halvings)

    def stage_modules(self) -> list[nn.Module]:
        return [stage.blocks for stage in self.stages]

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.output(self.act(self.norm(self.stages(self.stem(x)))))


@register("resnet50_v2", blocks=(3, 4, 6, 3))
@register("resnet101_v2", blocks=(3, 4, 23, 3))
@register("resnet152_v2", blocks=(3, 8, 36, 3))
def resnet_v2(
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
    """24.6, 43.6 and 59.2 million parameters with GDC of 512 dimensions; options as those of `resnet`."""
    style = Style(activation, bn_momentum, bn_eps)
    make_output = output_maker(output, sizes, dropout, style, pointwise)
    return ResNetV2(style, find_stem(stem), sizes.channels, first_planes(width), blocks, make_output)
