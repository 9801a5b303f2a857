"""Networks of which only names and shapes are asked."""

from oneflow import nn

from backbones import get_model, list_models
from backbones.without_values import without_values


def skeleton(network: str, embedding_size: int) -> nn.Module:
    """The network without initial values: random ones for all networks would take far longer than an import.

    Raises UserError if there is no such network.
    """
    with without_values():
        return get_model(network, embedding_size)


def candidates(network: str | None) -> list[str]:
    """`network`, or all names that stand for one network each: flowvision's take another name as an option."""
    return [network] if network else [name for name in list_models() if name != "flowvision"]
