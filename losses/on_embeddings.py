"""What a loss on embeddings is: a function of the global batch, added to the loss over class centers."""

from collections.abc import Mapping
from dataclasses import dataclass

import oneflow as flow


@dataclass(frozen=True)
class Batch:
    """The images of a micro-batch of all ranks, on every rank: all tensors are broadcast.

    outputs: of the backbone by name, "embedding" (B, E) float32 as it comes, not normalized; labels: (B,) int64, the
    classes; records: (B,) int64, the images' numbers in the dataset.

    For losses that want a teacher, teacher: its embeddings, (B, T) float32, and of the outputs "student", (B, T)
    float32: the embedding, or its projection if T is not E.

    For losses that ask for them by `means_rate`, means: the running mean of each image's class, (B, E) float32, as it
    was before the step.
    """

    outputs: Mapping[str, flow.Tensor]
    labels: flow.Tensor
    records: flow.Tensor
    teacher: flow.Tensor | None = None
    means: flow.Tensor | None = None


class EmbeddingLoss:
    """A scalar, the mean over the batch, that automatic differentiation takes back to `batch.outputs`.

    Each rank computes all of it, so what is made of the batch should be small, as (B, B).
    """

    wants_teacher = False
    means_rate: float | None = None  # how fast `Batch.means` follow, if they are wanted

    def __call__(self, batch: Batch) -> flow.Tensor:
        raise NotImplementedError
