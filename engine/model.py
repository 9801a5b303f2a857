"""What a step trains: backbone and head as one module."""

from collections.abc import Mapping

import oneflow as flow
from oneflow import nn

from losses import TotalLoss
from optim.parameters import ParameterRules


class Classifier(nn.Module):
    """images (B, 3, 112, 112) S(0), labels (B,) S(0), state of the loss -> what the head returns: the objective, which
    is the scalar to differentiate, and the step's outputs. No gradient reaches a backbone of which nothing trains.

    loss: its losses on embeddings are added to the head's. inputs: what some losses need besides, a row for each image,
    S(0): "random" (B, 1) float32, standard normal numbers; "classes" (B,) int64, for `labels` are slots of a sample;
    "records" (B,) int64.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, loss: TotalLoss | None = None) -> None:
        super().__init__()
        self.backbone, self.head, self.loss = backbone, head, loss
        self.frozen = not any(parameter.requires_grad for parameter in backbone.parameters())

    def forward(
        self,
        images: flow.Tensor,
        labels: flow.Tensor,
        state: dict[str, flow.Tensor],
        inputs: Mapping[str, flow.Tensor],
    ) -> tuple[flow.Tensor, dict]:
        embedding = self.backbone(images)
        return self.objective(embedding.detach() if self.frozen else embedding, labels, state, inputs)

    def objective(
        self,
        embedding: flow.Tensor,
        labels: flow.Tensor,
        state: dict[str, flow.Tensor],
        inputs: Mapping[str, flow.Tensor],
    ) -> tuple[flow.Tensor, dict]:
        """As `forward`, from embeddings (B, E) S(0)."""
        objective, outputs = self.head(embedding, labels, state, inputs.get("random"))
        if self.loss is not None:
            objective, outputs["losses"] = self.loss.add(objective, outputs["losses"], embedding, inputs)
        return objective, outputs


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
