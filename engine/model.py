"""What a step trains: backbone and head as one module."""

import oneflow as flow
from oneflow import nn

from optim.parameters import ParameterRules


class Classifier(nn.Module):
    """images (B, 3, 112, 112) S(0), labels (B,) S(0), state of the loss -> what the head returns: the objective, which
    is the scalar to differentiate, and the step's outputs. No gradient reaches a backbone of which nothing trains.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        self.frozen = not any(parameter.requires_grad for parameter in backbone.parameters())

    def forward(
        self, images: flow.Tensor, labels: flow.Tensor, state: dict[str, flow.Tensor]
    ) -> tuple[flow.Tensor, dict]:
        embedding = self.backbone(images)
        return self.head(embedding.detach() if self.frozen else embedding, labels, state)


def freeze(backbone: nn.Module, rules: ParameterRules) -> None:
    """Takes the gradients from parameters that do not train, and the rest from those that do.

    A module whose own parameters are all frozen is used as it is, BatchNorm's statistics too; a frozen backbone as a
    whole.
    """
    for name, parameter in backbone.named_parameters():
        parameter.grad = None  # of the phase before: a compiled step could not add to it
        parameter.requires_grad_(rules.trains(f"backbone.{name}"))
    backbone.train(any(parameter.requires_grad for parameter in backbone.parameters()))
    for module in backbone.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.train(False)
