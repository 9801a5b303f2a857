"""Optimizers, one formula a file; every file of this folder registers its names."""

import importlib
import pkgutil

from optim.optimizer import Optimizer
from optim.registry import list_optimizers, make_optimizer, register
from utils.config.grammar import parse_call, read_signatures
from utils.config.rules import OPTIMIZERS_FOLDER

__all__ = ["Optimizer", "configured_optimizer", "list_optimizers", "make_optimizer", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"optim.{_file.name}")


def configured_optimizer(cfg) -> Optimizer:
    """The backbone's optimizer. What `cfg.optimizer` does not state, it takes from `momentum` and `weight_decay`."""
    return _configured(cfg.optimizer, cfg)


def configured_head_optimizer(cfg) -> Optimizer:
    """That of the class centers: `cfg.head_optimizer`, or the backbone's; with `cfg.head_weight_decay`."""
    stated = {} if cfg.head_weight_decay is None else {"weight_decay": cfg.head_weight_decay}
    return _configured(cfg.head_optimizer or cfg.optimizer, cfg, **stated)


def _configured(text: str, cfg, **stated: float) -> Optimizer:
    name, parameters = parse_call(text)
    shared = {"momentum": cfg.momentum, "weight_decay": cfg.weight_decay}
    signature = read_signatures(OPTIMIZERS_FOLDER)[name]
    return make_optimizer(name, **{k: v for k, v in shared.items() if k in signature} | parameters | stated)
