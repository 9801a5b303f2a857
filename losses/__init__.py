"""Losses over class centers, one formula a file; every file of this folder registers its names."""

import importlib
import pkgutil

from losses.margin import Margin, Rows
from losses.registry import list_losses, make_margin, register
from utils.config.grammar import parse_call
from utils.config.schema import LOSSES

__all__ = ["Margin", "Rows", "configured_margin", "list_losses", "make_margin", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"losses.{_file.name}")


def configured_margin(cfg) -> Margin:
    """The margin that a config asks for: by `loss` with its parameters, or else, and if `loss` is short for one, by
    `margin_list`, `logit_scale` and `margin_gradient`.
    """
    if cfg.loss is not None and cfg.loss not in LOSSES:
        name, parameters = parse_call(cfg.loss)
        return make_margin(name, **parameters)
    m1, m2, m3 = cfg.margin_list
    return make_margin("combined", m1=m1, m2=m2, m3=m3, s=cfg.logit_scale, gradient=cfg.margin_gradient)
