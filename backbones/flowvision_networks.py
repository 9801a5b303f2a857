"""Networks of flowvision, OneFlow's own collection for images, which is not installed by default: ./setup.sh flowvision

Their last fully connected layer, of classes, is replaced by one of the embedding.
"""

from difflib import get_close_matches
from functools import reduce

import oneflow as flow
from oneflow import nn

from backbones.blocks import Style
from backbones.outputs import embed_rows
from backbones.registry import Sizes, register
from utils.errors import UserError


class FlowvisionNetwork(nn.Module):
    """Images (B, 3, H, W) to embeddings (B, E): what flowvision's `network` has before its classes, and an output."""

    def __init__(self, network: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.network, self.output = network, output

    def forward(self, x: flow.Tensor) -> flow.Tensor:
        return self.output(self.network(x))


@register("flowvision")
def flowvision(
    sizes: Sizes, dropout: float, name: str = "densenet121", bn_momentum: float = 0.1, bn_eps: float = 1e-5
) -> FlowvisionNetwork:
    """flowvision's network of that name, with weights drawn by its own rules, and Dropout, Linear and BatchNorm.

    bn_momentum and bn_eps are those of the output. Raises UserError if flowvision is not installed, or has no such
    network, or if that has no single fully connected layer of classes at its end or cannot take images of that size.
    """
    network = _create(name)
    features = _take_classes_off(network, name)
    _try(network.eval(), name, sizes, features)
    style = Style(bn_momentum=bn_momentum, bn_eps=bn_eps)
    return FlowvisionNetwork(network.train(), embed_rows(features, sizes, dropout, style))


def _create(name: str) -> nn.Module:
    try:
        from flowvision.models import ModelCreator
    except ImportError as error:
        raise UserError(f"flowvision cannot be imported ({error}): install it by ./setup.sh flowvision") from None
    names = list(ModelCreator.model_list())
    if name not in names:
        nearest = get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise UserError(f"flowvision has no network {name!r}, did you mean {nearest!r}?")
    return ModelCreator.create_model(name, pretrained=False)


def _take_classes_off(network: nn.Module, name: str) -> int:
    """Puts nothing in the place of the last fully connected layer; returns how many numbers that took."""
    layers = [place for place, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise UserError(f"flowvision's {name} has no fully connected layer of classes that could be replaced")
    *around, last = layers[-1].split(".")
    parent = reduce(getattr, around, network)
    features = getattr(parent, last).in_features
    setattr(parent, last, nn.Identity())
    return features


def _try(network: nn.Module, name: str, sizes: Sizes, features: int) -> None:
    """Raises UserError unless the network, in evaluation, makes rows of so many features of images of these sizes."""
    try:
        with flow.no_grad():
            rows = network(flow.zeros(2, sizes.channels, *sizes.image[:2]))
    except Exception as error:  # whatever it is that the network says
        size = f"{sizes.channels} x {sizes.image.height} x {sizes.image.width}"
        reason = f"{error}".strip().rpartition("\n")[2]
        raise UserError(f"flowvision's {name} does not take images of {size}: {reason}") from None
    if tuple(getattr(rows, "shape", ())) != (2, features):
        raise UserError(f"flowvision's {name} does not end in one fully connected layer of classes")
