"""What a step trains: backbone and head as one module."""

import oneflow as flow
from oneflow import nn


class Classifier(nn.Module):
    """images (B, 3, 112, 112) S(0), labels (B,) S(0), state of the loss -> what the head returns: the objective, which
    is the scalar to differentiate, and the step's outputs. frozen: no gradient reaches the backbone.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, frozen: bool = False) -> None:
        super().__init__()
        self.backbone, self.head, self.frozen = backbone, head, frozen

    def forward(
        self, images: flow.Tensor, labels: flow.Tensor, state: dict[str, flow.Tensor]
    ) -> tuple[flow.Tensor, dict]:
        embedding = self.backbone(images)
        return self.head(embedding.detach() if self.frozen else embedding, labels, state)
