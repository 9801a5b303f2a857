"""MobileFaceNet (Chen et al., "MobileFaceNets", CCBR 2018), in the two sizes that InsightFace trains.

Structure, initial values and parameter names are those of InsightFace's arcface_torch, so that weights move either way.
Its widths and expansions are wider than the paper's.
"""

import oneflow as flow
from oneflow import nn

from backbones.drawn import Dropout
from backbones.registry import Sizes, register

_FINAL_WIDTH = 512


class LinearBlock(nn.Module):
    """Convolution and BatchNorm, "same" padding unless stated."""

    def __init__(
        self,
        inplanes: int,
        planes: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
    ) -> None:
        """padding: None for half of a square kernel."""
        super().__init__()
        if padding is None:
            assert isinstance(kernel, int)
            padding = kernel // 2
        conv = nn.Conv2d(inplanes, planes, kernel, stride, padding, groups=groups, bias=False)
        self.layers = nn.Sequential(conv, nn.BatchNorm2d(planes))

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.layers(x)


class ConvBlock(LinearBlock):
    """A LinearBlock that a PReLU with one slope per channel follows."""

    def __init__(self, inplanes: int, planes: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inplanes, planes, kernel, stride, groups)
        self.layers.add_module("2", nn.PReLU(planes))


class DepthWise(nn.Module):
    """Inverted bottleneck: 1x1 to `hidden` channels, 3x3 depthwise, 1x1 linear; strided, or added to its input."""

    def __init__(self, inplanes: int, planes: int, hidden: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.layers = nn.Sequential(
            ConvBlock(inplanes, hidden),
            ConvBlock(hidden, hidden, kernel=3, stride=1 if residual else 2, groups=hidden),
            LinearBlock(hidden, planes),
        )

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.layers(x) + x if self.residual else self.layers(x)


class Residual(nn.Module):
    """`blocks` residual DepthWise blocks in a row; shape is kept."""

    def __init__(self, planes: int, blocks: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DepthWise(planes, planes, hidden, residual=True) for _ in range(blocks)))

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.layers(x)


class GDC(nn.Module):
    """Global depthwise convolution (a learned spatial weighting per channel), then a projection to the embedding."""

    def __init__(self, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            LinearBlock(_FINAL_WIDTH, _FINAL_WIDTH, kernel=sizes.final_map(halvings=4), groups=_FINAL_WIDTH, padding=0),
            # Dropout shares the place of the flattening, so that the names of what follows stay arcface_torch's.
            nn.Sequential(nn.Flatten(), Dropout(dropout, _FINAL_WIDTH)) if dropout > 0 else nn.Flatten(),
            nn.Linear(_FINAL_WIDTH, sizes.embedding, bias=False),
            nn.BatchNorm1d(sizes.embedding),
        )

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.layers(x)


class MobileFaceNet(nn.Module):
    """Images (B, 3, 112, 112) to embeddings (B, E), or other `sizes`.

    `blocks` counts the residual blocks at 56, 28, 14 and 7 pixels (one at 56 pixels means a plain grouped
    convolution instead); `scale` multiplies the widths.
    """

    def __init__(self, sizes: Sizes, dropout: float, blocks: tuple[int, int, int, int], scale: int) -> None:
        super().__init__()
        narrow, wide = 64 * scale, 128 * scale
        self.layers = nn.ModuleList(
            [
                ConvBlock(sizes.channels, narrow, kernel=3, stride=2),
                ConvBlock(narrow, narrow, kernel=3, groups=64) if blocks[0] == 1 else Residual(narrow, blocks[0], 128),
                DepthWise(narrow, narrow, hidden=128, residual=False),
                Residual(narrow, blocks[1], hidden=128),
                DepthWise(narrow, wide, hidden=256, residual=False),
                Residual(wide, blocks[2], hidden=256),
                DepthWise(wide, wide, hidden=512, residual=False),
                Residual(wide, blocks[3], hidden=256),
            ]
        )
        self.conv_sep = ConvBlock(wide, _FINAL_WIDTH)
        self.features = GDC(sizes, dropout)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stage_modules(self) -> list[nn.Module]:
        return [layer.layers if isinstance(layer, Residual) else layer for layer in self.layers]

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.features(self.conv_sep(x))


@register("mbf", blocks=(1, 4, 6, 2), scale=2)
@register("mbf_large", blocks=(2, 8, 12, 4), scale=4)
def mobilefacenet(sizes: Sizes, dropout: float, blocks: tuple[int, int, int, int], scale: int) -> MobileFaceNet:
    """2.06 and 6.3 million parameters at 512 dimensions."""
    return MobileFaceNet(sizes, dropout, blocks, scale)
