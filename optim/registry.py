"""Optimizers by the names that configs use."""

from optim.optimizer import Optimizer
from utils.errors import UserError
from utils.registry import Registry

_OPTIMIZERS = Registry[Optimizer]("optimizer")
register, list_optimizers = _OPTIMIZERS.register, _OPTIMIZERS.names


def make_optimizer(name: str, **parameters) -> Optimizer:
    """The optimizer of that name. Raises UserError if there is none, or for impossible values."""
    optimizer = _OPTIMIZERS.make(name, **parameters)
    for parameter in ("momentum", "beta1", "beta2"):
        value = getattr(optimizer, parameter, 0.0)
        if not 0 <= value < 1:
            raise UserError(f"{parameter} = {value:g} of {name} is not possible: it is from 0 to below 1")
    if optimizer.weight_decay < 0:
        raise UserError(f"weight_decay = {optimizer.weight_decay:g} of {name} is not possible: it is 0 or more")
    return optimizer
