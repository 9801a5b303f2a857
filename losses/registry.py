"""Losses by the names that configs use."""

from collections.abc import Callable

from losses.margin import Margin
from losses.on_embeddings import EmbeddingLoss
from utils.errors import UserError

_MARGINS: dict[str, type[Margin]] = {}
_ON_EMBEDDINGS: dict[str, type[EmbeddingLoss]] = {}


def register(name: str) -> Callable[[type[Margin]], type[Margin]]:
    """Class decorator: makes `name` available as a loss over class centers."""

    def decorate(loss: type[Margin]) -> type[Margin]:
        _MARGINS[name] = loss
        return loss

    return decorate


def register_on_embeddings(name: str) -> Callable[[type[EmbeddingLoss]], type[EmbeddingLoss]]:
    """Class decorator: makes `name` available as a loss on embeddings, to be added to one over class centers."""

    def decorate(loss: type[EmbeddingLoss]) -> type[EmbeddingLoss]:
        _ON_EMBEDDINGS[name] = loss
        return loss

    return decorate


def list_losses() -> list[str]:
    """Those over class centers."""
    return sorted(_MARGINS)


def list_embedding_losses() -> list[str]:
    return sorted(_ON_EMBEDDINGS)


def make_margin(name: str, **parameters) -> Margin:
    """The loss over class centers of that name. Raises UserError if there is none, or it takes other parameters."""
    if name not in _MARGINS:
        raise UserError(f"there is no loss {name}; there are {', '.join(list_losses())}")
    margin = _MARGINS[name](**parameters)
    if margin.scale <= 0:
        raise UserError(f"s = {margin.scale:g} of {name} is not possible: the scale of the logits is above 0")
    return margin


def make_embedding_loss(name: str, **parameters) -> EmbeddingLoss:
    """The loss on embeddings of that name. Raises UserError if it takes other parameters."""
    return _ON_EMBEDDINGS[name](**parameters)
