"""The last layer of a classifier over very many identities: one centre per class, split over the ranks."""

import numpy as np
import oneflow as flow
from oneflow import nn

from heads.cross_entropy import fused_cross_entropy, split_cross_entropy
from heads.margins import margin_cosine

_INIT_STD = 0.01
INIT_BLOCK = 1 << 14


def initial_centres(start: int, stop: int, embedding_size: int, seed: int) -> np.ndarray:
    """Rows [start, stop) of the initial class centres, (stop - start, E) float32, N(0, 0.01).

    Drawn in blocks by (seed, block), so that a rank draws only its own rows and they do not depend on how many ranks
    there are.
    """
    rows = np.empty((stop - start, embedding_size), np.float32)
    for block in range(start // INIT_BLOCK, -(-stop // INIT_BLOCK)):
        first = block * INIT_BLOCK
        lo, hi = max(start, first), min(stop, first + INIT_BLOCK)
        drawn = np.random.default_rng([seed, block]).standard_normal((hi - first, embedding_size), np.float32)
        np.multiply(drawn[lo - first :], _INIT_STD, out=rows[lo - start : hi - start])
    return rows


def shard_range(num_classes: int, ranks: int, rank: int) -> tuple[int, int]:
    """The classes [start, stop) that split(0) gives to a rank: the first C % ranks of them hold one more."""
    share, extra = divmod(num_classes, ranks)
    start = rank * share + min(rank, extra)
    return start, start + share + (rank < extra)


class ClassParallelHead(nn.Module):
    """Normalised embeddings against normalised class centres, a margin on the target, cross entropy.

    weight: (C, E) S(0) over classes with ``model_parallel``, else broadcast. Any C works with any number of ranks.
    margins, gradient: see `margin_cosine`. scale: s, the logits are s * cosine. filtering: cosines of other classes
    above it become 0, without gradient (0: off), against mislabelled identities. fused: CUDA's fused cross entropy.
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        placement: flow.placement,
        margins: tuple[float, float, float] = (1.0, 0.5, 0.0),
        scale: float = 64.0,
        gradient: str = "exact",
        filtering: float = 0.0,
        model_parallel: bool = True,
        fused: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.margins, self.scale, self.gradient = tuple(margins), scale, gradient
        self.filtering, self.fused, self.model_parallel = filtering, fused and model_parallel, model_parallel
        ranks, rank = flow.env.get_world_size(), flow.env.get_rank()
        start, stop = shard_range(num_classes, ranks, rank) if model_parallel else (0, num_classes)
        sbp = flow.sbp.split(0) if model_parallel else flow.sbp.broadcast
        rows = flow.tensor(initial_centres(start, stop, embedding_size, seed))
        self.weight = nn.Parameter(rows.to_global(placement=placement, sbp=sbp))
        # class_ids: (C,) S(0) over classes: each column of the logits knows its class, on whatever rank it is
        self.register_buffer(
            "class_ids", flow.arange(num_classes, dtype=flow.int64, placement=placement, sbp=sbp), persistent=False
        )

    def forward(self, embedding: flow.Tensor, labels: flow.Tensor) -> flow.Tensor:
        """embedding: (B, E) S(0), labels: (B,) int64 S(0) -> the mean loss of the global batch, a scalar."""
        if self.model_parallel:
            # Without grad_sbp the gradient comes back as broadcast, and the ranks' BatchNorm weights drift apart.
            embedding = embedding.to_global(sbp=flow.sbp.broadcast, grad_sbp=flow.sbp.split(0))
            labels = labels.to_global(sbp=flow.sbp.broadcast)
        # Under AMP the product alone is float16, as in arcface_torch; from here on it is float32.
        embedding = nn.functional.normalize(embedding, dim=1)
        centres = nn.functional.normalize(self.weight, dim=1)
        cosine = flow.matmul(embedding, centres, transpose_b=True).to(flow.float32)  # (B, C) S(1)
        is_other = flow.ne(labels.unsqueeze(1), self.class_ids.unsqueeze(0))  # (B, C) S(1)
        target = cosine.masked_fill(is_other, 0.0).sum(dim=1, keepdim=True)  # (B, 1), partial sum of one term
        if self.filtering > 0:
            cosine = cosine.masked_fill(cosine.detach() > self.filtering, 0.0)
        target = margin_cosine(target, self.margins, self.gradient)
        logits = flow.where(is_other, cosine, target) * self.scale
        if self.fused:
            return fused_cross_entropy(logits, labels)
        return split_cross_entropy(logits, target * self.scale, self.scale)
