"""Schedules by the names that configs use."""

from collections.abc import Callable

from optim.schedules.schedule import Curve
from utils.errors import UserError

_CURVES: dict[str, type[Curve]] = {}


def register(name: str) -> Callable[[type[Curve]], type[Curve]]:
    """Class decorator: makes `name` available as an `lr_schedule`."""

    def decorate(curve: type[Curve]) -> type[Curve]:
        _CURVES[name] = curve
        return curve

    return decorate


def list_schedules() -> list[str]:
    return sorted(_CURVES)


def make_curve(name: str, **parameters) -> Curve:
    """The formula of that name. Raises UserError if there is none."""
    if name not in _CURVES:
        raise UserError(f"there is no lr_schedule {name}; there are {', '.join(list_schedules())}")
    return _CURVES[name](**parameters)
