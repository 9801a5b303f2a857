"""Optimizers by the names that configs use."""

from collections.abc import Callable

from optim.optimizer import Optimizer
from utils.errors import UserError

_OPTIMIZERS: dict[str, type[Optimizer]] = {}


def register(name: str) -> Callable[[type[Optimizer]], type[Optimizer]]:
    """Class decorator: makes `name` available as an optimizer."""

    def decorate(optimizer: type[Optimizer]) -> type[Optimizer]:
        optimizer.name = name
        _OPTIMIZERS[name] = optimizer
        return optimizer

    return decorate


def list_optimizers() -> list[str]:
    return sorted(_OPTIMIZERS)


def make_optimizer(name: str, **parameters) -> Optimizer:
    """The optimizer of that name. Raises UserError if there is none, or for impossible values."""
    if name not in _OPTIMIZERS:
        raise UserError(f"there is no optimizer {name}; there are {', '.join(list_optimizers())}")
    optimizer = _OPTIMIZERS[name](**parameters)
    for parameter in ("momentum", "beta1", "beta2"):
        value = getattr(optimizer, parameter, 0.0)
        if not 0 <= value < 1:
            raise UserError(f"{parameter} = {value:g} of {name} is not possible: it is from 0 to below 1")
    if optimizer.weight_decay < 0:
        raise UserError(f"weight_decay = {optimizer.weight_decay:g} of {name} is not possible: it is 0 or more")
    return optimizer
