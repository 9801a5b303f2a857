"""IResNet, the improved residual network of face recognition (Deng et al., "ArcFace", CVPR 2019).

Structure, initial values and parameter names are those of InsightFace's arcface_torch, so that weights move either way.
"""

import math

import oneflow as flow
from oneflow import nn

from backbones.drawn import Dropout
from backbones.registry import Sizes, register

_WIDTHS = (64, 128, 256, 512)


class IBasicBlock(nn.Module):
    """Residual block (B, inplanes, H, W) -> (B, planes, H/stride, W/stride), whose addition no activation follows."""

    any_layout = True

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inplanes)
        self.conv1 = nn.Conv2d(inplanes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.prelu = nn.PReLU(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(out)) + identity


def _stage(inplanes: int, planes: int, blocks: int) -> nn.Sequential:
    first = IBasicBlock(inplanes, planes, stride=2)
    return nn.Sequential(first, *(IBasicBlock(planes, planes, stride=1) for _ in range(blocks - 1)))


class IResNet(nn.Module):
    """Images (B, 3, 112, 112) to embeddings (B, E), or other `sizes`; `stages[i]` blocks of `64 * 2**i` channels."""

    any_layout = True

    def __init__(self, sizes: Sizes, dropout: float, stages: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(sizes.channels, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.prelu = nn.PReLU(_WIDTHS[0])
        self.layer1 = _stage(_WIDTHS[0], _WIDTHS[0], stages[0])
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], stages[1])
        self.layer3 = _stage(_WIDTHS[1], _WIDTHS[2], stages[2])
        self.layer4 = _stage(_WIDTHS[2], _WIDTHS[3], stages[3])
        self.bn2 = nn.BatchNorm2d(_WIDTHS[3])
        self.flatten = nn.Flatten()
        flat = _WIDTHS[3] * math.prod(sizes.final_map(halvings=4))
        self.dropout = Dropout(dropout, flat) if dropout > 0 else nn.Identity()
        self.fc = nn.Linear(flat, sizes.embedding)
        self.features = nn.BatchNorm1d(sizes.embedding)
        # A free scale per dimension would only fight the L2 normalization that every head applies next.
        self.features.weight.requires_grad = False
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.1)

    def stage_modules(self) -> list[nn.Module]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.dropout(self.flatten(self.bn2(x)))
        return self.features(self.fc(x))


@register("r18", stages=(2, 2, 2, 2))
@register("r34", stages=(3, 4, 6, 3))
@register("r50", stages=(3, 4, 14, 3))
@register("r100", stages=(3, 13, 30, 3))
@register("r101", stages=(3, 4, 23, 3))
@register("r200", stages=(6, 26, 60, 6))
def iresnet(sizes: Sizes, dropout: float, stages: tuple[int, int, int, int]) -> IResNet:
    """24.0, 34.1, 43.6, 65.2 and 118.8 million parameters at 512 dimensions."""
    return IResNet(sizes, dropout, stages)
