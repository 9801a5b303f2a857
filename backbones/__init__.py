"""Networks from an aligned face to its embedding, one family a file; importing a family registers its names."""

from backbones import (  # noqa: F401
    efficientnet,
    flowvision_networks,
    ghostnet,
    iresnet,
    mobilefacenet,
    mobilefacenet_paper,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    resnest,
    resnet,
    resnet_v2,
    se_resnext,
    tiny,
    vit,
)
from backbones.registry import get_model, list_models, register

__all__ = ["get_model", "list_models", "register"]
