"""From the last feature map to the embedding: what Keras_insightface calls the output layers E, GDC, GAP and F."""

import math
from collections.abc import Callable

import oneflow as flow
from oneflow import nn

from backbones.blocks import Style, conv_norm
from backbones.drawn import Dropout
from backbones.registry import Sizes
from utils.errors import UserError

POINTWISE_WIDTH = 512


def make_output(
    kind: str, channels: int, halvings: int, sizes: Sizes, dropout: float, style: Style, pointwise: bool = False
) -> nn.Module:
    """(B, channels, h, w) -> (B, sizes.embedding), for a map that was halved so many times.

    kind: "e", BatchNorm, Dropout, Linear of the whole map, BatchNorm; "gdc", a learned weight for each place and
    channel (global depthwise convolution, Chen et al., "MobileFaceNets"), BatchNorm, Dropout, Linear, BatchNorm; "gap",
    BatchNorm, the mean of all places, Dropout, Linear, BatchNorm; "f", Dropout and Linear of the whole map.
    pointwise: a 1x1 convolution to 512 channels before, BatchNorm and PReLU. Raises UserError for another kind.
    """
    if kind not in _OUTPUTS:
        raise UserError(f"there is no output {kind!r}; there are {', '.join(_OUTPUTS)}")
    layers = []
    if pointwise:
        layers = [conv_norm(Style("prelu", style.bn_momentum, style.bn_eps), channels, POINTWISE_WIDTH)]
        channels = POINTWISE_WIDTH
    layers += _OUTPUTS[kind](channels, sizes.final_map(halvings), sizes.embedding, dropout, style)
    return nn.Sequential(*layers)


def embed_rows(inputs: int, sizes: Sizes, dropout: float, style: Style) -> nn.Module:
    """(B, inputs) -> (B, sizes.embedding): Dropout, Linear, BatchNorm."""
    linear = _linear(inputs, sizes.embedding, True)
    return nn.Sequential(_dropped(nn.Identity(), dropout, inputs), linear, _last(style, sizes.embedding))


class FeatureNetwork(nn.Module):
    """A network of `features`, layers and blocks in a row, and the `output` that makes an embedding of their last map;
    a family sets both.
    """

    features: nn.Sequential
    output: nn.Module

    def stage_modules(self) -> list[nn.Module]:
        return list(self.features)

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.output(self.features(x))


class MeanOfPlaces(nn.Module):
    """(B, C, H, W) -> (B, C)."""

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return x.mean(dim=(2, 3))


class PlaceWeights(nn.Conv2d):
    """(B, C, h, w) -> (B, C, 1, 1), for maps of that size: a weight for each place and channel, (C, 1, h, w)."""

    def __init__(self, channels: int, places: tuple[int, int]) -> None:
        super().__init__(channels, channels, places, groups=channels, bias=False)


Layers = Callable[[int, tuple[int, int], int, float, Style], list[nn.Module]]


def _e(channels: int, places: tuple[int, int], embedding: int, dropout: float, style: Style) -> list[nn.Module]:
    size = channels * math.prod(places)
    flat = [style.norm(channels), _dropped(nn.Flatten(), dropout, size)]
    return [*flat, _linear(size, embedding, True), _last(style, embedding)]


def _gdc(channels: int, places: tuple[int, int], embedding: int, dropout: float, style: Style) -> list[nn.Module]:
    weighted = PlaceWeights(channels, places)
    nn.init.kaiming_normal_(weighted.weight, mode="fan_in", nonlinearity="linear")
    flat = [weighted, style.norm(channels), _dropped(nn.Flatten(), dropout, channels)]
    return [*flat, _linear(channels, embedding, False), _last(style, embedding)]


def _gap(channels: int, places: tuple[int, int], embedding: int, dropout: float, style: Style) -> list[nn.Module]:
    flat = [style.norm(channels), _dropped(MeanOfPlaces(), dropout, channels)]
    return [*flat, _linear(channels, embedding, True), _last(style, embedding)]


def _f(channels: int, places: tuple[int, int], embedding: int, dropout: float, style: Style) -> list[nn.Module]:
    size = channels * math.prod(places)
    return [_dropped(nn.Flatten(), dropout, size), _linear(size, embedding, True)]


_OUTPUTS: dict[str, Layers] = {"e": _e, "gdc": _gdc, "gap": _gap, "f": _f}


def _dropped(layer: nn.Module, share: float, size: int) -> nn.Module:
    """One layer in either case, so that parameters have the same names where a trained network is used, without it."""
    return nn.Sequential(layer, Dropout(share, size)) if share > 0 else layer


def _linear(inputs: int, embedding: int, bias: bool) -> nn.Linear:
    layer = nn.Linear(inputs, embedding, bias=bias)
    nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="linear")
    return layer


def _last(style: Style, embedding: int) -> nn.BatchNorm1d:
    norm = style.norm_of_rows(embedding)
    # A free scale per dimension would only fight the L2 normalization that every head applies next.
    norm.weight.requires_grad = False
    return norm
