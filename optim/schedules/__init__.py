"""Schedules of the learning rate, one formula a file; every file of this folder registers its names."""

import importlib
import pkgutil

from optim.schedules.registry import list_schedules, make_curve, register
from optim.schedules.schedule import Curve, Schedule, Span
from utils.config.grammar import parse_call, read_signatures
from utils.config.rules import SCHEDULES_FOLDER
from utils.errors import UserError

__all__ = ["Curve", "Schedule", "Span", "configured_schedule", "list_schedules", "make_curve", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"optim.schedules.{_file.name}")


def configured_schedule(cfg, steps_per_epoch: int) -> Schedule:
    """The schedule of a config over its epochs. What `lr_schedule` does not state, it takes from `lr_power`,
    `decay_epoch` and `decay_rate`. Raises UserError for values that are not possible.
    """
    name, parameters = parse_call(cfg.lr_schedule)
    shared = {"power": cfg.lr_power, "epochs": cfg.decay_epoch, "rate": cfg.decay_rate}
    signature = read_signatures(SCHEDULES_FOLDER)[name]
    curve = make_curve(name, **{k: v for k, v in shared.items() if k in signature} | parameters)
    steps = cfg.num_epoch * steps_per_epoch
    warmup = min(round(cfg.warmup_epoch * steps_per_epoch), steps - 1)
    span = Span(cfg.lr, steps, warmup, steps_per_epoch)
    if fault := curve.fault(span):
        raise UserError(f"lr_schedule = {cfg.lr_schedule!r} is not possible: {fault}")
    return Schedule(curve, span)
