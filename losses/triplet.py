"""Triplets (Schroff et al., "FaceNet", CVPR 2015) of all images of a batch, by the cosines between embeddings."""

import oneflow as flow
from oneflow import nn

from losses.on_embeddings import Batch, EmbeddingLoss
from losses.registry import register_on_embeddings
from utils.errors import UserError


@register_on_embeddings("triplet")
class Triplet(EmbeddingLoss):
    """alpha: by how much the positives, images of the same class and the image itself, should be closer than others.

    mining: ``"hard"``, of each image its farthest positive and its nearest negative (Hermans et al., "In Defense of the
    Triplet Loss", 2017): the mean of max(0, nearest negative - farthest positive + alpha). ``"all"``: the mean of
    1 - cosine over all positives, and the sum of the n negatives that are nearer than alpha below the image's farthest
    positive, divided by n + 1.
    """

    def __init__(self, alpha: float = 0.35, mining: str = "hard") -> None:
        if mining not in ("hard", "all"):
            raise UserError(f'mining = {mining!r} is not possible: it is "hard" or "all"')
        self._alpha, self._loss = alpha, {"hard": self._hard, "all": self._all}[mining]

    def __call__(self, batch: Batch) -> flow.Tensor:
        unit = nn.functional.normalize(batch.outputs["embedding"], dim=1)
        cosines = flow.matmul(unit, unit, transpose_b=True).to(flow.float32)  # (B, B)
        different = flow.ne(batch.labels.unsqueeze(1), batch.labels.unsqueeze(0))
        farthest = cosines.masked_fill(different, 1.0).amin(dim=1, keepdim=True)  # (B, 1)
        return self._loss(cosines, different, farthest)

    def _hard(self, cosines: flow.Tensor, different: flow.Tensor, farthest: flow.Tensor) -> flow.Tensor:
        nearest = cosines.masked_fill(different == 0, -1.0).amax(dim=1, keepdim=True)
        return flow.relu(nearest - farthest + self._alpha).mean()

    def _all(self, cosines: flow.Tensor, different: flow.Tensor, farthest: flow.Tensor) -> flow.Tensor:
        alike = (different == 0).to(flow.float32)
        near = (farthest.detach() - cosines.detach() < self._alpha).to(flow.float32) * different.to(flow.float32)
        return ((1.0 - cosines) * alike).sum() / alike.sum() + (cosines * near).sum() / (near.sum() + 1.0)
