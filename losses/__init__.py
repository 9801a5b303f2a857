"""Losses over class centers, one formula a file; every file of this folder registers its names."""

import importlib
import pkgutil

from losses.margin import Margin, Rows, ones_like
from losses.registry import list_losses, make_margin, register
from utils.config.grammar import parse_call, read_signatures
from utils.config.rules import LOSSES_FOLDER
from utils.config.schema import LOSSES

__all__ = ["Margin", "Rows", "configured_margin", "list_losses", "make_margin", "ones_like", "register"]

for _file in pkgutil.iter_modules(__path__):
    importlib.import_module(f"losses.{_file.name}")


def configured_margin(cfg) -> Margin:
    """The margin that a config asks for: by `loss`, or else, and if `loss` is short for one, by `margin_list`. What a
    loss does not state, it takes from `logit_scale` and `margin_gradient`.
    """
    if cfg.loss is None or cfg.loss in LOSSES:
        name, parameters = "combined", dict(zip(("m1", "m2", "m3"), cfg.margin_list, strict=True))
    else:
        name, parameters = parse_call(cfg.loss)
    shared = {"s": cfg.logit_scale, "gradient": cfg.margin_gradient}
    taken = {key: value for key, value in shared.items() if key in read_signatures(LOSSES_FOLDER)[name]}
    return make_margin(name, **{**taken, **parameters})
