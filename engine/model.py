"""What a step trains: backbone and head as one module."""

import oneflow as flow
from oneflow import nn


class Classifier(nn.Module):
    """images (B, 3, 112, 112) S(0), labels (B,) S(0) -> the mean loss of the global batch, a scalar."""

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: flow.Tensor, labels: flow.Tensor) -> flow.Tensor:
        return self.head(self.backbone(images), labels)
