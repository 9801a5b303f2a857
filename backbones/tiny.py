"""mbf_tiny: our own small network, which trains the demo on two CPU cores in a minute or two.

It is built for how OneFlow 0.9.0 spends time on a CPU, not for few multiplications:

- Depthwise convolutions run at 1 GF/s, so the usual mobile blocks are slow; ordinary convolutions run near GEMM speed.
- An ordinary convolution pays for unfolding its input (inplanes x kernel**2 numbers per output pixel, several ns each,
  forward and twice backward) as much as for its products. So each layer has few inputs, many outputs and a stride.
- BatchNorm and activations pay per pixel, so the first layer leaves 28 x 28 pixels at once.
- Aligned faces have the same part at the same place, so a fully connected layer sees all 7 x 7 places; it is one GEMM.
- ReLU, because PReLU's slopes did not raise the accuracy on drawn faces.

8.5 million multiplications an image; forward and backward take about 3 ms on one core, BatchNorm included.
"""

import math

import oneflow as flow
from oneflow import nn

from backbones.drawn import Dropout
from backbones.registry import Sizes, register


def _conv(inplanes: int, planes: int, kernel: int, stride: int) -> nn.Sequential:
    """(B, inplanes, H, W) -> (B, planes, H/stride, W/stride)."""
    conv = nn.Conv2d(inplanes, planes, kernel, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(planes), nn.ReLU())


class TinyNet(nn.Module):
    """Images (B, 3, 112, 112) to embeddings (B, E), or other `sizes`: three strided convolutions, one linear layer."""

    any_layout = True

    def __init__(self, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(sizes.channels, 24, kernel=5, stride=4),
            _conv(24, 64, kernel=3, stride=2),
            _conv(64, 128, kernel=3, stride=2),
        )
        self.flatten = nn.Flatten()
        flat = 128 * math.prod(sizes.final_map(halvings=4))
        self.dropout = Dropout(dropout, flat) if dropout > 0 else nn.Identity()
        self.fc = nn.Linear(flat, sizes.embedding)
        self.features = nn.BatchNorm1d(sizes.embedding)
        # A free scale per dimension would only fight the L2 normalization that every head applies next.
        self.features.weight.requires_grad = False

    def stage_modules(self) -> list[nn.Module]:
        return [self.layers]

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        x = self.dropout(self.flatten(self.layers(x)))
        return self.features(self.fc(x))


@register("mbf_tiny")
def mbf_tiny(sizes: Sizes, dropout: float) -> TinyNet:
    """0.9 million parameters at 128 dimensions."""
    return TinyNet(sizes, dropout)
