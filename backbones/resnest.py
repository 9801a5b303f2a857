"""ResNeSt 50 and 101 (Zhang et al., "ResNeSt: Split-Attention Networks", CVPR Workshops 2022).

Radix 2 and one group, a stem of three 3x3 convolutions, average pooling before a projected shortcut, and after a split
attention instead of a stride. Parameter names are those of timm's resnest50d and resnest101e, but for the output's.
"""

import oneflow as flow
from oneflow import nn

from backbones.blocks import Style, conv
from backbones.registry import Sizes, register
from backbones.residual import Bottleneck, ResNet, find_stem, first_planes, output_maker

RADIX = 2
REDUCTION = 4
LEAST_HIDDEN = 32


class SplitAttention(nn.Module):
    """(B, C, H, W) -> (B, C, H, W): a 3x3 convolution gives two splits of C channels, and each channel of the result is
    their mean by weights that the sum of both, averaged over places, decides on.
    """

    def __init__(self, style: Style, channels: int) -> None:
        super().__init__()
        self.channels = channels
        wide, hidden = RADIX * channels, max(LEAST_HIDDEN, RADIX * channels // REDUCTION)
        self.conv = conv(channels, wide, 3, groups=RADIX)
        self.bn0, self.act0 = style.norm(wide), style.activate(wide)
        self.fc1, self.bn1, self.act1 = conv(channels, hidden, bias=True), style.norm(hidden), style.activate(hidden)
        self.fc2 = conv(hidden, wide, bias=True)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        x = self.act0(self.bn0(self.conv(x)))
        # Without slices, which oneflow-onnx has cut the batch too.
        means = x.mean(dim=(2, 3)).reshape(-1, RADIX, self.channels).sum(dim=1)
        logits = self.fc2(self.act1(self.bn1(self.fc1(means.reshape(-1, self.channels, 1, 1)))))
        splits = logits.reshape(-1, RADIX, self.channels).permute(0, 2, 1)
        weights = flow.softmax(splits, dim=-1).permute(0, 2, 1).reshape(-1, RADIX * self.channels, 1, 1)
        return (x * weights).reshape(-1, RADIX, self.channels, *x.shape[2:]).sum(dim=1)


class ResNestBottleneck(Bottleneck):
    """A bottleneck with split attention in the middle, whose stride is that of poolings."""

    def make_middle(self, style: Style, inner: int, stride: int) -> None:
        self.conv2 = SplitAttention(style, inner)
        self.avd_last = nn.AvgPool2d(3, stride, padding=1) if stride > 1 else nn.Identity()

    def middle(self, x: flow.Tensor) -> flow.Tensor:
        return self.avd_last(self.conv2(x))

    def shortcut(self, inplanes: int, outplanes: int, stride: int) -> list[nn.Module]:
        # Of an odd map the last places are means of what is there.
        pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
        return [pool, conv(inplanes, outplanes)]


def _deep_stem(style: Style, inplanes: int, width: int, stride: int) -> nn.Sequential:
    """(B, inplanes, H, W) -> (B, 2 width, H/stride, W/stride)."""
    first = [conv(inplanes, width, 3, stride), style.norm(width), style.activate(width)]
    second = [conv(width, width, 3), style.norm(width), style.activate(width)]
    return nn.Sequential(*first, *second, conv(width, 2 * width, 3))


@register("resnest50", blocks=(3, 4, 6, 3), stem_width=32)
@register("resnest101", blocks=(3, 4, 23, 3), stem_width=64)
def resnest(
    sizes: Sizes,
    dropout: float,
    blocks: tuple[int, int, int, int],
    stem_width: int,
    output: str = "gdc",
    activation: str = "relu",
    pointwise: bool = False,
    bn_momentum: float = 0.1,
    bn_eps: float = 1e-5,
    stem: str = "imagenet",
    width: float = 1.0,
) -> nn.Module:
    """26.5 and 47.3 million parameters with GDC of 512 dimensions; options as those of `resnet`."""
    style, begin = Style(activation, bn_momentum, bn_eps), find_stem(stem)
    planes = first_planes(width)
    stem_width = stem_width * planes // 64
    conv1 = _deep_stem(style, sizes.channels, stem_width, begin.stride)
    make_output = output_maker(output, sizes, dropout, style, pointwise)
    return ResNet(style, begin, conv1, 2 * stem_width, ResNestBottleneck, planes, blocks, make_output)
