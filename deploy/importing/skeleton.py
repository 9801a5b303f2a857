"""Networks of which only names and shapes are asked."""

from collections.abc import Iterator
from contextlib import contextmanager

from oneflow import nn

from backbones import get_model, list_models


def skeleton(network: str, embedding_size: int) -> nn.Module:
    """The network without initial values: random ones for all networks would take far longer than an import.

    Raises UserError if there is no such network.
    """
    with _without_values():
        return get_model(network, embedding_size)


def candidates(network: str | None) -> list[str]:
    """`network`, or all names that stand for one network each: flowvision's take another name as an option."""
    return [network] if network else [name for name in list_models() if name != "flowvision"]


@contextmanager
def _without_values() -> Iterator[None]:
    """`nn.init` does nothing meanwhile."""
    functions = {name: each for name, each in vars(nn.init).items() if name.endswith("_") and callable(each)}
    functions = {name: each for name, each in functions.items() if not name.startswith("_")}
    for name in functions:
        setattr(nn.init, name, lambda tensor, *_, **__: tensor)
    try:
        yield
    finally:
        for name, each in functions.items():
            setattr(nn.init, name, each)
