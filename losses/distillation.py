"""Embeddings that point where a teacher's do."""

import oneflow as flow
from oneflow import nn

from losses.on_embeddings import Batch, EmbeddingLoss
from losses.registry import register_on_embeddings


@register_on_embeddings("distillation")
class Distillation(EmbeddingLoss):
    """The mean of 1 - cos(teacher, student), as Keras_insightface has it.

    A student of another length is projected first, by a linear layer without bias that trains along.
    """

    wants_teacher = True

    def __call__(self, batch: Batch) -> flow.Tensor:
        student = nn.functional.normalize(batch.outputs["student"], dim=1)
        teacher = nn.functional.normalize(batch.teacher, dim=1)
        return (1.0 - (student * teacher).sum(dim=1)).mean()
