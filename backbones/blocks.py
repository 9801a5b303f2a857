"""What networks of several families are made of."""

import math
from dataclasses import dataclass

import oneflow as flow
from oneflow import nn

from utils.errors import UserError


class Relu6(nn.Module):
    """min(max(x, 0), 6), elementwise; OneFlow's own does not export to ONNX."""

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return flow.clamp(x, 0.0, 6.0)


_ACTIVATIONS = {
    "relu": lambda channels: nn.ReLU(),
    "relu6": lambda channels: Relu6(),
    "prelu": nn.PReLU,
    "swish": lambda channels: nn.SiLU(),
    "hard_swish": lambda channels: nn.Hardswish(),
    "none": lambda channels: nn.Identity(),
}


@dataclass(frozen=True)
class Style:
    """What the layers of a network have in common.

    activation: "relu", "relu6", "prelu" (a slope for each channel), "swish", "hard_swish" or "none". bn_momentum: the
    newest batch's weight in BatchNorm's running statistics (0.1; Keras writes 1 - 0.1). bn_eps: added to variances.
    """

    activation: str = "relu"
    bn_momentum: float = 0.1
    bn_eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.activation not in _ACTIVATIONS:
            raise UserError(f"there is no activation {self.activation!r}; there are {', '.join(_ACTIVATIONS)}")
        if not 0 < self.bn_momentum <= 1 or not 0 < self.bn_eps < 1:
            stated = f"bn_momentum={self.bn_momentum}, bn_eps={self.bn_eps}"
            raise UserError(f"{stated} is not possible: both are above 0, usually 0.1 and 1e-5, and at most 1")

    def norm(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, self.bn_eps, self.bn_momentum)

    def norm_of_rows(self, size: int) -> nn.BatchNorm1d:
        return nn.BatchNorm1d(size, self.bn_eps, self.bn_momentum)

    def activate(self, channels: int) -> nn.Module:
        return _ACTIVATIONS[self.activation](channels)


def conv(
    inplanes: int, planes: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Conv2d:
    """(B, inplanes, H, W) -> (B, planes, H/stride, W/stride), rounded up ("same" padding of odd kernels)."""
    layer = nn.Conv2d(inplanes, planes, kernel, stride, kernel // 2, groups=groups, bias=bias)
    # He et al.'s, by the outputs that an input reaches: those of its own group, which kaiming_normal_ does not know of.
    nn.init.normal_(layer.weight, 0.0, math.sqrt(2 * groups / (planes * kernel**2)))
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def conv_norm(
    style: Style, inplanes: int, planes: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """Convolution, BatchNorm and, if `active`, the style's activation: shapes as `conv`."""
    layers = [conv(inplanes, planes, kernel, stride, groups), style.norm(planes)]
    return nn.Sequential(*layers, style.activate(planes)) if active else nn.Sequential(*layers)


class SqueezeExcite(nn.Module):
    """Channel attention (Hu et al., CVPR 2018): (B, C, H, W) times a gate (B, C, 1, 1) from their means.

    hidden: channels between its two 1x1 convolutions; between: the activation after the first; gate: "sigmoid" or
    "hard_sigmoid". Its tensors have torchvision's names.
    """

    def __init__(self, channels: int, hidden: int, between: nn.Module | None = None, gate: str = "sigmoid") -> None:
        super().__init__()
        self.fc1, self.fc2 = conv(channels, hidden, bias=True), conv(hidden, channels, bias=True)
        self.between = between or nn.ReLU()
        self.gate = nn.Sigmoid() if gate == "sigmoid" else nn.Hardsigmoid()

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        means = x.mean(dim=(2, 3), keepdim=True)
        return x * self.gate(self.fc2(self.between(self.fc1(means))))


class InvertedResidual(nn.Module):
    """MobileNetV2's bottleneck (Sandler et al., CVPR 2018): (B, inplanes, H, W) -> (B, planes, H/stride, W/stride).

    1x1 to `hidden` channels (unless there are as many already), depthwise, `gate`, 1x1 without activation,
    `output_gate`, and the input added where it has the output's shape. Gates keep the shape.
    """

    def __init__(
        self,
        style: Style,
        inplanes: int,
        hidden: int,
        planes: int,
        kernel: int = 3,
        stride: int = 1,
        gate: nn.Module | None = None,
        output_gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and inplanes == planes
        layers = [
            None if hidden == inplanes else conv_norm(style, inplanes, hidden),
            conv_norm(style, hidden, hidden, kernel, stride, groups=hidden),
            gate,
            conv_norm(style, hidden, planes, active=False),
            output_gate,
        ]
        self.block = nn.Sequential(*(layer for layer in layers if layer is not None))

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.block(x) + x if self.residual else self.block(x)


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `channels`, but not below 90 % of it (as the MobileNet papers count)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded


def check_stem(stride: int, width: float) -> None:
    """Raises UserError unless these options of a network are possible."""
    if type(stride) is not int or stride not in (1, 2):
        raise UserError(f"stem_stride={stride} is not possible: it is 2, or 1 for a map of twice the size throughout")
    if not 0 < width < math.inf:
        raise UserError(f"width={width} is not possible: it multiplies numbers of channels, as 0.5 does")
