"""Center loss (Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016)."""

import oneflow as flow

from losses.on_embeddings import Batch, EmbeddingLoss
from losses.registry import register_on_embeddings
from utils.errors import UserError


@register_on_embeddings("center")
class CenterLoss(EmbeddingLoss):
    """Half the squared distance between an embedding, as it comes, and the running mean of its class.

    alpha: how fast the means follow, outside the optimizer: by alpha (sum of the class's n embeddings in a step less
    its mean each) / (1 + n), after the step. They begin at 0.
    """

    def __init__(self, alpha: float = 0.5) -> None:
        if not 0 < alpha <= 1:
            raise UserError(f"alpha = {alpha:g} of center is not possible: it is above 0, and 1 at most")
        self.means_rate = alpha

    def __call__(self, batch: Batch) -> flow.Tensor:
        apart = batch.outputs["embedding"] - batch.means
        return (apart * apart).sum(dim=1).mean() * 0.5
