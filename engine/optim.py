"""The optimiser of a run."""

from oneflow import nn
from oneflow.optim import SGD


def build_sgd(backbone: nn.Module, head: nn.Module, cfg, frozen: bool = False) -> SGD:
    """SGD with momentum and weight decay on all parameters: ``v = momentum * v + g + weight_decay * w; w -= lr * v``.

    The backbone's rate is `cfg.lr_backbone_scale` times the head's; `frozen` leaves it out. Its gradient is clipped to
    the L2 norm `cfg.clip_grad_norm` (0: not), before weight decay is added; the head's is left as it is, as in
    arcface_torch.
    """
    groups = [{"params": list(head.parameters())}]
    if not frozen:
        clip = {"clip_grad_max_norm": cfg.clip_grad_norm, "clip_grad_norm_type": 2.0} if cfg.clip_grad_norm else {}
        trained = [p for p in backbone.parameters() if p.requires_grad]
        groups.insert(0, {"params": trained, "lr": cfg.lr * cfg.lr_backbone_scale, **clip})
    return SGD(groups, lr=cfg.lr, momentum=cfg.momentum, weight_decay=cfg.weight_decay)
