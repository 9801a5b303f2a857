"""Networks from an aligned face to its embedding, one family a file; importing a family registers its names."""

from backbones import (  # noqa: F401
    flowvision_networks,
    iresnet,
    mobilefacenet,
    resnest,
    resnet,
    resnet_v2,
    se_resnext,
    tiny,
)
from backbones.registry import get_model, list_models, register

__all__ = ["get_model", "list_models", "register"]
