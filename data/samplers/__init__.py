"""Which records a batch takes, one rule a file; every file of this folder registers its names."""

import importlib
import pkgutil

from data.samplers.registry import list_samplers, make_sampler, register
from data.samplers.sampler import Epoch, Sampler
from utils.config.grammar import parse_call

__all__ = ["Epoch", "Sampler", "configured_sampler", "list_samplers", "make_sampler", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"data.samplers.{_file.name}")


def configured_sampler(cfg) -> Sampler:
    """The sampler that a config asks for. Raises UserError for values that are not possible."""
    name, parameters = parse_call(cfg.sampler)
    return make_sampler(name, **parameters)
