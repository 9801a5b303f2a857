"""What the residual networks of ImageNet share: bottleneck blocks, and stem, four stages and output around them.

Parameters are named as timm names them (torchvision too, where it has the network), so that weights move either way.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import oneflow as flow
from oneflow import nn

from backbones.blocks import Style, conv, divisible
from backbones.outputs import make_output
from backbones.registry import Sizes
from utils.errors import UserError

EXPANSION = 4  # the channels that a bottleneck gives, in multiples of its planes


@dataclass(frozen=True)
class Stem:
    """How a network begins: the convolution's kernel and stride, whether pooling follows, the first stage's stride."""

    kernel: int
    stride: int
    pooled: bool
    first_stride: int

    @property
    def halvings(self) -> int:
        """How often a network of four stages halves the image."""
        return [self.stride, 2 if self.pooled else 1, self.first_stride, 2, 2, 2].count(2)

    @property
    def strides(self) -> tuple[int, int, int, int]:
        """Of the first block of each stage."""
        return self.first_stride, 2, 2, 2

    def pool(self) -> nn.Module:
        return nn.MaxPool2d(3, 2, 1) if self.pooled else nn.Identity()


_STEMS = {"imagenet": Stem(7, 2, True, 1), "face": Stem(3, 1, False, 2)}


def find_stem(name: str) -> Stem:
    """ "imagenet": the papers' own, which makes 4x4 places of a 112x112 face; "face": IResNet's, 7x7 places, four times
    the multiplications. Raises UserError for another name.
    """
    if name not in _STEMS:
        raise UserError(f"there is no stem {name!r}; there are {', '.join(_STEMS)}")
    return _STEMS[name]


def first_planes(width: float, by: int = 8) -> int:
    """Planes of the first stage, 64 times `width`, in multiples of `by`; the others have 2, 4 and 8 times as many.

    Raises UserError unless 0 < width < inf.
    """
    if not 0 < width < math.inf:
        raise UserError(f"width={width} is not possible: it multiplies numbers of channels, as 0.5 does")
    return divisible(64 * width, by)


class Bottleneck(nn.Module):
    """Residual block (B, inplanes, H, W) -> (B, 4 planes, H/stride, W/stride), as ResNet's (He et al., CVPR 2016).

    The stride is that of the 3x3 convolution, as everybody trains it, and not of the first. Kinds of it override what
    is between its two 1x1 convolutions, what attends to the result, or the shortcut.
    """

    any_layout = True

    def __init__(self, style: Style, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        inner, outplanes = self.inner(planes), EXPANSION * planes
        self.conv1, self.bn1, self.act1 = conv(inplanes, inner), style.norm(inner), style.activate(inner)
        self.make_middle(style, inner, stride)
        self.conv3, self.bn3 = conv(inner, outplanes), style.norm(outplanes)
        self.make_attention(planes)
        self.act3 = style.activate(outplanes)
        self.downsample = None
        if stride != 1 or inplanes != outplanes:
            self.downsample = nn.Sequential(*self.shortcut(inplanes, outplanes, stride), style.norm(outplanes))

    def inner(self, planes: int) -> int:
        """Channels of the 3x3 convolution."""
        return planes

    def make_middle(self, style: Style, inner: int, stride: int) -> None:
        self.conv2, self.bn2, self.act2 = conv(inner, inner, 3, stride), style.norm(inner), style.activate(inner)

    def middle(self, x: flow.Tensor) -> flow.Tensor:
        return self.act2(self.bn2(self.conv2(x)))

    def make_attention(self, planes: int) -> None:
        self.se = nn.Identity()

    def shortcut(self, inplanes: int, outplanes: int, stride: int) -> list[nn.Module]:
        """What makes the input fit for the sum, before BatchNorm."""
        return [conv(inplanes, outplanes, 1, stride)]

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.middle(self.act1(self.bn1(self.conv1(x))))
        return self.act3(self.se(self.bn3(self.conv3(out))) + identity)


Block = Callable[[Style, int, int, int], nn.Module]  # style, inplanes, planes, stride
Output = Callable[[int, int], nn.Module]  # channels, halvings


def make_stages(
    block: Block, style: Style, inplanes: int, planes: int, blocks: Sequence[int], strides: Sequence[int]
) -> list[list[nn.Module]]:
    """Four lists of blocks of `planes`, 2 `planes`, 4 and 8 times as many; the first of each has the stride."""
    stages = []
    for number, (count, stride) in enumerate(zip(blocks, strides, strict=True)):
        first = block(style, inplanes, planes << number, stride)
        inplanes = EXPANSION * planes << number
        stages.append([first, *(block(style, inplanes, planes << number, 1) for _ in range(count - 1))])
    return stages


class ResNet(nn.Module):
    """Images (B, C, H, W) to embeddings (B, E): `conv1`, which gives `inplanes` channels, stages of blocks, output."""

    any_layout = True

    def __init__(
        self,
        style: Style,
        stem: Stem,
        conv1: nn.Module,
        inplanes: int,
        block: Block,
        planes: int,
        blocks: Sequence[int],
        output: Output,
    ) -> None:
        super().__init__()
        self.conv1, self.bn1, self.act1 = conv1, style.norm(inplanes), style.activate(inplanes)
        self.maxpool = stem.pool()
        stages = make_stages(block, style, inplanes, planes, blocks, stem.strides)
        self.layer1, self.layer2, self.layer3, self.layer4 = (nn.Sequential(*stage) for stage in stages)
        self.output = output(EXPANSION * planes << 3, stem.halvings)

    def stage_modules(self) -> list[nn.Module]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        return self.output(self.layer4(self.layer3(self.layer2(self.layer1(x)))))


def output_maker(kind: str, sizes: Sizes, dropout: float, style: Style, pointwise: bool) -> Output:
    """What makes the output of that kind for a map that a trunk then describes."""
    return partial(make_output, kind, sizes=sizes, dropout=dropout, style=style, pointwise=pointwise)
