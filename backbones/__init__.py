"""Networks from an aligned face to its embedding, one family a file; importing a family registers its names."""

from backbones import iresnet, mobilefacenet, resnest, resnet, resnet_v2, se_resnext, tiny  # noqa: F401
from backbones.registry import get_model, list_models, register

__all__ = ["get_model", "list_models", "register"]
