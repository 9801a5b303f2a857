"""Losses by the names that configs use."""

from collections.abc import Callable

from losses.margin import Margin
from utils.errors import UserError

_LOSSES: dict[str, type[Margin]] = {}


def register(name: str) -> Callable[[type[Margin]], type[Margin]]:
    """Class decorator: makes `name` available as a loss."""

    def decorate(loss: type[Margin]) -> type[Margin]:
        _LOSSES[name] = loss
        return loss

    return decorate


def list_losses() -> list[str]:
    return sorted(_LOSSES)


def make_margin(name: str, **parameters) -> Margin:
    """The loss of that name. Raises UserError if there is none, or it takes other parameters."""
    if name not in _LOSSES:
        raise UserError(f"there is no loss {name}; there are {', '.join(list_losses())}")
    margin = _LOSSES[name](**parameters)
    if margin.scale <= 0:
        raise UserError(f"s = {margin.scale:g} of {name} is not possible: the scale of the logits is above 0")
    return margin
