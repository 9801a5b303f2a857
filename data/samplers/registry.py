"""Samplers by the names that configs use."""

from data.samplers.sampler import Sampler
from utils.registry import Registry

_SAMPLERS = Registry[Sampler]("sampler")
register, list_samplers, make_sampler = _SAMPLERS.register, _SAMPLERS.names, _SAMPLERS.make
