"""The optimizer of a run's backbone; class centers are trained by heads/sparse_momentum.py."""

from oneflow import nn
from oneflow.optim import SGD


def build_sgd(backbone: nn.Module, cfg, frozen: bool = False) -> SGD:
    """SGD with momentum and weight decay on all parameters: ``v = momentum * v + g + weight_decay * w; w -= lr * v``.

    The rate is `cfg.lr_backbone_scale` times the head's; `frozen` leaves nothing to train. The gradient is clipped to
    the L2 norm `cfg.clip_grad_norm` (0: not), before weight decay is added; the head's is left as it is, as in
    arcface_torch.
    """
    clip = {"clip_grad_max_norm": cfg.clip_grad_norm, "clip_grad_norm_type": 2.0} if cfg.clip_grad_norm else {}
    trained = [] if frozen else [p for p in backbone.parameters() if p.requires_grad]
    group = {"params": trained, "lr": cfg.lr * cfg.lr_backbone_scale, **clip}
    return SGD([group], lr=cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay)
