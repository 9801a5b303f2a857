"""The last layer with only a sample of the classes in each step: Partial FC. See heads/sampling.py for the papers."""

import numpy as np
import oneflow as flow
from oneflow import nn

from heads.cross_entropy import SAFE_LOGIT
from heads.margins import margin_cosine, margin_slope
from heads.row_store import HostRows
from heads.sampling import ClassSampler, Sample

# Under AMP the product with the class centres runs in float16, where probabilities below 6e-8 / 16 count as 0.
_HALF_RANGE = 16.0


class SampledHead(nn.Module):
    """`ClassParallelHead` over the sampled classes of a step, differentiated by hand.

    store: this rank's class centres (`HostRows`, `MappedRows`, `DeviceRows`); sampler: which of them a step sees. The
    compiled step knows the sample alone, as the buffer ``rows``: (slots, E) S(0), normalised, filled before each step.
    The logits (B, slots) are S(1). Nothing in a step grows with the number of classes.

    By hand, because then no gradient of the centres is ever held, (slots, E), but only the softmax it is made of,
    (B, slots); because a third of the operators are left; and because nothing of the head is scaled by AMP's loss
    scale. half: the matrix products run in float16 (AMP). The other parameters are those of `ClassParallelHead`.
    """

    def __init__(
        self,
        store: HostRows,
        sampler: ClassSampler,
        embedding_size: int,
        placement: flow.placement,
        margins: tuple[float, float, float] = (1.0, 0.5, 0.0),
        scale: float = 64.0,
        gradient: str = "exact",
        filtering: float = 0.0,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.store, self.sampler = store, sampler
        self.margins, self.scale, self.gradient = tuple(margins), scale, gradient
        self.filtering, self.half = filtering, half
        slots = sum(sampler.counts)
        split = {"placement": placement, "sbp": flow.sbp.split(0)}
        self.register_buffer("rows", flow.zeros(slots, embedding_size, **split), persistent=False)
        # Its column's slot, on whatever rank: int32, which compares twice as fast as int64 on a CPU.
        self.register_buffer("slots", flow.arange(slots, dtype=flow.int32, **split), persistent=False)

    def forward(self, embedding: flow.Tensor, labels: flow.Tensor) -> tuple[flow.Tensor, ...]:
        """embedding: (B, E) S(0), labels: (B,) int64 S(0), slots of the sample. Returns

        objective: a scalar; its gradient by the embedding is the loss's, its value is not
        loss: a scalar, the mean of the global batch
        slopes: (B, slots) S(1), directions: (B, E) broadcast, target_slopes: (B, 1) broadcast. The loss's gradient by
        the normalised centres is ``slopes.T @ directions``, with target_slopes put into each row's own slot
        """
        unit = nn.functional.normalize(embedding.to(flow.float32), dim=1)
        directions = unit.detach().to_global(sbp=flow.sbp.broadcast)
        labels = labels.to_global(sbp=flow.sbp.broadcast)
        scale = self.scale
        logits = flow.matmul(directions * scale, self.rows, transpose_b=True).to(flow.float32)  # (B, slots) S(1)
        own = flow._C.gather(self.rows, labels, axis=0).to_global(sbp=flow.sbp.broadcast)  # (B, E)
        target = (directions * own).sum(dim=1, keepdim=True)  # (B, 1) the target's cosine
        target_logit = margin_cosine(target, self.margins, self.gradient) * scale
        is_target = flow.eq(labels.to(flow.int32).unsqueeze(1), self.slots.unsqueeze(0))  # (B, slots) S(1)

        filtered = None
        if self.filtering > 0:
            filtered = flow.logical_and(logits > self.filtering * scale, flow.logical_not(is_target))
        peak = 0.0
        if scale > SAFE_LOGIT:
            logits = logits.masked_fill(is_target, -scale)
            if filtered is not None:
                logits = logits.masked_fill(filtered, 0.0)
            peak = logits.amax(dim=1, keepdim=True).to_global(sbp=flow.sbp.broadcast)
            peak = flow.maximum(peak, target_logit)
            logits, target_logit = logits - peak, target_logit - peak
        others = flow.exp(logits).masked_fill(is_target, 0.0)
        if filtered is not None:
            others = others.masked_fill(filtered, 0.0)
        total = _over_classes(others) + flow.exp(target_logit)
        if filtered is not None:  # a filtered cosine is 0 and has no slope, but it still counts in the softmax
            total = total + _over_classes(filtered.to(flow.float32)) * flow.exp(0.0 * target - peak)
        loss = (flow.log(total) - target_logit).mean()

        # By the target's cosine: (probability - 1) * slope of the margin; by another's: its probability. Both times
        # scale / B; and both still times `total`, because a column (B, 1) is far cheaper to scale than (B, slots).
        slope = (flow.exp(target_logit) - total) * margin_slope(target, self.margins, self.gradient)
        ratio = scale / embedding.shape[0] / total
        if self.half:
            others, slope = others * (_HALF_RANGE / total), slope * (_HALF_RANGE / total)
            ratio = flow.ones_like(total) * (scale / embedding.shape[0] / _HALF_RANGE)
        pull = flow.matmul(others, self.rows).to(flow.float32).to_global(sbp=flow.sbp.broadcast)
        pull = (pull + slope * own) * ratio  # (B, E) the gradient by the normalised embedding
        objective = (unit * pull.to_global(sbp=flow.sbp.split(0))).sum()
        return objective, loss, others, directions * ratio, slope

    def fetch(self, sample: Sample, step: int, lr: float) -> np.ndarray:
        """The normalised centres of a sample, (count, E) float32, from a store on the host."""
        centres = np.empty((len(sample.rows), self.rows.shape[1]), np.float32)
        self.store.take(sample.rows, centres, step, lr)
        return centres

    def refetch(self, sample: Sample, centres: np.ndarray, trained: Sample, step: int, lr: float) -> None:
        """Brings fetched centres up to date that belong to `trained`, which has been updated since."""
        stale = np.flatnonzero(np.isin(sample.rows, trained.rows, assume_unique=True))
        again = np.empty((len(stale), centres.shape[1]), np.float32)
        self.store.take(sample.rows[stale], again, step, lr)
        centres[stale] = again

    def place(self, sample: Sample, step: int, lr: float, fetched: np.ndarray | None = None) -> None:
        """Fills `rows` with the centres of a sample (`fetched`, if they are at hand) for the coming step."""
        rows = self.rows.to_local()
        if not isinstance(self.store, HostRows):
            self.store.take(sample.rows, rows, step, lr)
        elif rows.is_cuda:
            rows.copy_(flow.tensor(self.fetch(sample, step, lr) if fetched is None else fetched))
        elif fetched is None:
            self.store.take(sample.rows, rows.numpy(), step, lr)  # numpy() waits for the step before, and is no copy
        else:
            np.copyto(rows.numpy(), fetched)

    def update(self, sample: Sample, found: tuple[flow.Tensor, ...], step: int, lr: float, micro: int = 1) -> None:
        """Trains the centres of a sample.

        found: what `forward` returned last, of `micro` micro-batches one below the other. Each of them is a part of
        every rank's rows, while the sample's labels go rank by rank.
        """
        slopes, directions, target_slopes = found
        ranks = len(self.sampler.counts)
        labels = sample.labels.reshape(ranks, micro, -1).swapaxes(0, 1).ravel() - self.sampler.first_slot
        own = np.flatnonzero((labels >= 0) & (labels < len(sample.rows)))
        columns = labels[own]
        slopes, directions = slopes.to_local(), directions.to_local() / micro
        targets = target_slopes.to_local()[:, 0]
        on_host = isinstance(self.store, HostRows)
        if on_host and not slopes.is_cuda:
            slopes, directions = slopes.numpy(), directions.numpy()
            slopes[own, columns] = targets.numpy()[own]
            self.store.update(sample.rows, lambda slots: slopes[:, slots].T @ directions, step, lr)
            return
        if len(own):
            where, columns = (flow.tensor(index).to(slopes.device) for index in (own, columns))
            slopes[where, columns] = targets[where]
        gradient = flow.matmul(slopes, directions, transpose_a=True)
        if on_host:  # only rows travel
            gradient = gradient.numpy()
            self.store.update(sample.rows, lambda slots: gradient[slots], step, lr)
        else:
            self.store.update(sample.rows, gradient, step, lr)


def _over_classes(values: flow.Tensor) -> flow.Tensor:
    """(B, slots) S(1) -> the sum over all ranks' slots, (B, 1) broadcast."""
    return values.sum(dim=1, keepdim=True).to_global(sbp=flow.sbp.broadcast)
