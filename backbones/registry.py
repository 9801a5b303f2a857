"""Backbones by name: `@register("r50")` on a builder, `get_model("r50")` for a network."""

from collections.abc import Callable
from difflib import get_close_matches

from oneflow import nn

from utils.errors import UserError

Builder = Callable[[int, float], nn.Module]

_builders: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Makes the decorated `builder(embedding_size, dropout) -> nn.Module` known as `name`.

    Raises ValueError where the name is taken.
    """

    def add(builder: Builder) -> Builder:
        if name in _builders:
            raise ValueError(f"a backbone named {name!r} is registered already")
        _builders[name] = builder
        return builder

    return add


def list_models() -> list[str]:
    """Every registered name, in the order of registration."""
    return list(_builders)


def get_model(name: str, embedding_size: int = 512, dropout: float = 0.0) -> nn.Module:
    """A freshly initialized backbone: images (B, 3, 112, 112) in [-1, 1] to embeddings (B, embedding_size).

    `dropout` is the probability, in [0, 1), before the last fully connected layer. Raises UserError where the name is
    unknown.
    """
    if name not in _builders:
        nearest = get_close_matches(str(name), _builders, n=1, cutoff=0.0)[0]
        raise UserError(f"there is no backbone {name!r}, did you mean {nearest!r}? Known: {', '.join(_builders)}")
    return _builders[name](embedding_size, dropout)
