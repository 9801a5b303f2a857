"""Losses over class centers, one formula a file; importing a file registers its names."""

from losses import combined  # noqa: F401
from losses.margin import Margin, Rows
from losses.registry import make_margin, register

__all__ = ["Margin", "Rows", "configured_margin", "make_margin", "register"]


def configured_margin(cfg) -> Margin:
    """The margin that a config asks for by `margin_list`, `logit_scale` and `margin_gradient`."""
    m1, m2, m3 = cfg.margin_list
    return make_margin("combined", m1=m1, m2=m2, m3=m3, s=cfg.logit_scale, gradient=cfg.margin_gradient)
