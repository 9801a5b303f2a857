"""Schedules by the names that configs use."""

from optim.schedules.schedule import Curve
from utils.registry import Registry

_CURVES = Registry[Curve]("lr_schedule")
register, list_schedules, make_curve = _CURVES.register, _CURVES.names, _CURVES.make
