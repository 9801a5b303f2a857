"""The last layer of a classifier over very many identities: one center per class, split over the ranks.

All classes take part in a step, or a sample of them (Partial FC, see heads/sampling.py): to this file the first is a
sample of everything.
"""

from collections.abc import Callable

import numpy as np
import oneflow as flow
from oneflow import nn

from heads.sampling import ClassSampler, Sample
from heads.stores.store import RowStore
from losses.margin import Margin, Rows

# exp(z) summed over 1e8 classes stays inside float32 while |z| is at most this, so no maximum need be taken first.
_SAFE_LOGIT = 64.0
# exp of it is 0, whatever the maximum of the row; float16 can hold it.
_NO_LOGIT = -3e4
# Under AMP the products of the backward pass run in float16, where probabilities below 6e-8 / 16 count as 0.
_HALF_RANGE = 16.0
_TINY = 1e-24  # under the root of a norm, whose slope at 0 would be infinite


class _Fetched:
    """Rows of a gradient that is on a card, for a store on the host: a large block at a time, in order."""

    _ROWS = 1 << 14

    def __init__(self, gradient_of: Callable[[slice], flow.Tensor], count: int) -> None:
        self._gradient_of, self._count, self._first, self._rows = gradient_of, count, 0, np.empty((0, 0), np.float32)

    def __call__(self, slots: slice) -> np.ndarray:
        """slots: no more than a large block holds, and not before those of the last call."""
        if slots.stop > self._first + len(self._rows):
            self._first = slots.start
            self._rows = self._gradient_of(slice(slots.start, min(slots.start + self._ROWS, self._count))).numpy()
        return self._rows[slots.start - self._first : slots.stop - self._first]


class ClassParallelHead(nn.Module):
    """Normalized embeddings against normalized class centers, the logits of a margin, cross entropy.

    store: this rank's class centers, or None if nothing is to be trained; sampler: which of them a step sees, its
    slots. margin: one of losses/. filtering: cosines of other classes above it become 0, without gradient (0: off),
    against mislabeled identities. half: mixed precision, the softmax is scaled so that float16 holds it; dtype: of the
    products and of the centers' copy `rows`, float16 on a card under `half`. model_parallel: slots are split over the
    ranks, S(1) for logits, and only (B, 1) and (B, E) cross them; else every rank holds all centers and its own rows
    of the batch, and the centers' gradient, (C, E), is summed over the ranks.

    The part with an axis over slots is differentiated by hand: with model_parallel the step holds no gradient of the
    centers, (slots, E), but only the softmax it is made of, (B, slots), by which `update` trains the centers block by
    block after the step. Three (B, slots) float32 tensors and one bool are made for it, and the output. Nothing of the
    head is scaled by AMP's loss scale.
    """

    def __init__(
        self,
        store: RowStore | None,
        sampler: ClassSampler,
        embedding_size: int,
        placement: flow.placement,
        margin: Margin,
        filtering: float = 0.0,
        half: bool = False,
        model_parallel: bool = True,
        dtype: flow.dtype = flow.float32,
    ) -> None:
        super().__init__()
        self.store, self.sampler, self.margin = store, sampler, margin
        self.filtering, self.half, self.model_parallel, self.dtype = filtering, half, model_parallel, dtype
        slots = sum(sampler.counts)
        split = flow.sbp.split(0) if model_parallel else flow.sbp.broadcast
        # rows: (slots, E) S(0), or broadcast without model_parallel; normalized; `place` and `update` keep them
        rows = flow.zeros(slots, embedding_size, dtype=self.dtype, placement=placement, sbp=split)
        self.register_buffer("rows", rows, persistent=False)
        # A column's slot, on whatever rank it is: int32, which compares twice as fast as int64 on a CPU.
        ids = flow.arange(slots, dtype=flow.int32, placement=placement, sbp=split)
        self.register_buffer("slots", ids, persistent=False)
        self._current = False  # whether `rows` are the centers of a sample of everything as the last step left them

    def forward(
        self, embedding: flow.Tensor, labels: flow.Tensor, state: dict[str, flow.Tensor]
    ) -> tuple[flow.Tensor, dict]:
        """embedding: (B, E) S(0), labels: (B,) int64 S(0), slots of the sample; state: the margin's, (1,) broadcast.

        Returns a scalar, the objective, whose gradient by the embedding is the loss's though its value is not, and

        losses: named scalars, "loss" the mean of the global batch, and what it is made of if it has several parts
        state: as it is after this step
        results: what `update` needs, with model_parallel the factors of the gradient by the normalized centers,
            ``slopes.T @ directions`` with target_slopes put into each row's own slot:
            slopes (B, slots) S(1), directions (B, E) broadcast, target_slopes (B, 1) broadcast;
            or else that gradient itself, (C, E) broadcast
        """
        margin, scale, batch = self.margin, self.margin.scale, embedding.shape[0]
        rows_sbp = flow.sbp.broadcast if self.model_parallel else flow.sbp.split(0)  # of what counts images
        embedding = embedding.to(flow.float32)
        unit = nn.functional.normalize(embedding, dim=1)
        norm = flow.sqrt((embedding * embedding).sum(dim=1, keepdim=True) + _TINY)  # (B, 1) S(0)
        directions = unit.detach().to_global(sbp=rows_sbp)  # (B, E)
        # An embedding that is no number shows in the loss and in the backbone's gradient, by which AMP leaves the step
        # out; the centers must not learn it.
        directions = directions.masked_fill(flow.ne(directions, directions), 0.0)
        labels = labels.to_global(sbp=rows_sbp)
        own = flow._C.gather(self.rows, labels, axis=0).to(flow.float32).to_global(sbp=rows_sbp)  # (B, E)
        cosine = (directions * own).sum(dim=1, keepdim=True)  # (B, 1) of the target
        seen = Rows(cosine, norm.detach().to_global(sbp=rows_sbp), state)
        if state:
            columns = (column.to_global(sbp=flow.sbp.broadcast) for column in (seen.cosine, seen.norm))
            after = margin.next_state(Rows(*columns, state))
            # A NaN would stay in the state for good, though AMP leaves out the step that made it.
            state = {name: flow.where((new - new) == 0.0, new, state[name]) for name, new in after.items()}
        seen = Rows(cosine, seen.norm.masked_fill((seen.norm - seen.norm) != 0.0, 1.0), state)

        target_logit = margin.target(seen) * scale
        is_target = flow.eq(labels.to(flow.int32).unsqueeze(1), self.slots.unsqueeze(0))  # (B, slots)
        logits, filtered, passes = self._other_logits(directions, is_target, seen)
        if margin.bound > _SAFE_LOGIT:
            # A plain maximum has no S(1): the logits would cross the ranks. This one is each rank's own, (B, ranks).
            peaks = flow._C.reduce_max_device_stage(logits, axis=[1])[0].to_global(sbp=rows_sbp)
            peak = flow.maximum(peaks.amax(dim=1, keepdim=True), target_logit)
            logits, target_logit = logits - peak, target_logit - peak
        others = flow.exp(logits)
        other_total = others.sum(dim=1, keepdim=True).to_global(sbp=rows_sbp)  # (B, 1)
        if passes is not None:
            others = others * passes
        if filtered is not None:
            others = others.masked_fill(filtered, 0.0)
        total = other_total + flow.exp(target_logit)
        losses = {"loss": (flow.log(total) - target_logit).mean() + (norm.detach() * 0.0).mean()}

        # By the target's cosine: (probability - 1) * slope of the margin; by another's: its probability. Both times
        # scale / B; and both still times `total`, because a column (B, 1) is far cheaper to scale than (B, slots).
        slope = -other_total * margin.slope(seen)
        ratio, pull_weight = scale / batch / total, 1.0
        if self.half:  # float16 holds probabilities, and not the powers of e that they are made of
            others, slope = (others * (_HALF_RANGE / total)).to(self.dtype), slope * (_HALF_RANGE / total)
            ratio, pull_weight = 1.0, self._half_weight(batch)
        # Weighted before it crosses the ranks: a cast alone the compiler would move behind, and sum in float16.
        pull = (flow.matmul(others, self.rows).to(flow.float32) * pull_weight).to_global(sbp=rows_sbp)
        pull = (pull + slope * own * pull_weight) * ratio  # (B, E) the gradient by the normalized embedding
        objective = (unit * pull.to_global(sbp=flow.sbp.split(0))).sum()

        norm_slope, penalty = margin.norm_slope(seen), margin.penalty(norm.detach())
        if norm_slope is not None:
            by_norm = norm_slope * (-other_total / total) * (scale / batch)
            objective = objective + (norm * by_norm.to_global(sbp=flow.sbp.split(0))).sum()
        if penalty is not None:
            value, by_norm = penalty
            objective = objective + (norm * by_norm).mean()
            losses = {"softmax": losses["loss"], "penalty": value.mean()}
            losses["loss"] = losses["softmax"] + losses["penalty"]

        directions = directions.to(self.dtype) if self.half else directions * ratio
        if self.model_parallel:
            results = others, directions, slope
        else:
            slopes = flow.where(is_target, slope.to(self.dtype), others)  # (B, C) S(0)
            gradient = flow.matmul(slopes, directions, transpose_a=True).to(flow.float32)  # (C, E), a part of each rank
            gradient = gradient * self._half_weight(batch) if self.half else gradient
            results = (gradient.to_global(sbp=flow.sbp.broadcast),)
        return objective, {"losses": losses, "state": state, "results": results}

    def _other_logits(
        self, directions: flow.Tensor, is_target: flow.Tensor, seen: Rows
    ) -> tuple[flow.Tensor, flow.Tensor | None, flow.Tensor | None]:
        """Logits of other classes, (B, slots) float32 with the targets' so low that they count as 0; which of them
        filtering has set to 0, bool; and the slopes of the others that the margin reshapes. The latter two or None.

        The targets are masked before the logits are exponentiated: taken out of the sum afterwards, they would take
        the others' digits along.
        """
        margin, scale, filtered = self.margin, self.margin.scale, None
        factor = 1.0 if margin.reshapes_others else scale
        logits = flow.matmul((directions * factor).to(self.dtype), self.rows, transpose_b=True)
        if margin.reshapes_others:
            cosines = logits.to(flow.float32)
            logits, passes = margin.others(cosines, seen) * scale, margin.others_slope(cosines, seen)
            if self.filtering > 0:
                filtered = cosines.masked_fill(is_target, -1.0) > self.filtering
                logits = logits.masked_fill(filtered, 0.0)
            return logits.masked_fill(is_target, _NO_LOGIT), filtered, passes
        logits = logits.masked_fill(is_target, _NO_LOGIT).to(flow.float32)
        if self.filtering > 0:  # such a cosine is 0 and has no slope, but it still counts in the softmax
            filtered = logits > self.filtering * scale
            logits = logits.masked_fill(filtered, 0.0)
        return logits, filtered, None

    def _half_weight(self, batch: int) -> float:
        """What the gradient by centers still lacks under `half`; float16 would lose it in the directions."""
        return self.margin.scale / batch / _HALF_RANGE

    def fetch(self, sample: Sample, step: int, lr: float) -> np.ndarray:
        """The normalized centers of a sample, (count, E) float32, from a store on the host."""
        centers = np.empty((self.sampler.count, self.rows.shape[1]), np.float32)
        self.store.take(sample.rows, centers, step, lr)
        return centers

    def refetch(self, sample: Sample, centers: np.ndarray, trained: Sample, step: int, lr: float) -> None:
        """Brings fetched centers up to date that belong to `trained`, which has been updated since."""
        stale = np.flatnonzero(np.isin(sample.rows, trained.rows, assume_unique=True))
        again = np.empty((len(stale), centers.shape[1]), np.float32)
        self.store.take(sample.rows[stale], again, step, lr)
        centers[stale] = again

    def place(self, sample: Sample, step: int, lr: float, fetched: np.ndarray | None = None) -> None:
        """Fills `rows` with the centers of a sample (`fetched`, if they are at hand) for the coming step."""
        if self._current:
            return
        rows = self.rows.to_local()
        if not self.store.on_host:
            self.store.take(sample.rows, rows, step, lr)
        elif rows.is_cuda:
            fetched = self.fetch(sample, step, lr) if fetched is None else fetched
            rows.copy_(flow.from_numpy(fetched).to(rows.device).to(self.dtype))  # a CPU is slow to cast
        elif fetched is None:
            self.store.take(sample.rows, rows.numpy(), step, lr)  # numpy() waits for the step before, and is no copy
        else:
            np.copyto(rows.numpy(), fetched)

    def update(
        self, sample: Sample, results: tuple[flow.Tensor, ...], step: int, lr: float, updates: int, micro: int = 1
    ) -> None:
        """Trains the centers of a sample.

        results: as `forward` returned them, of `micro` micro-batches one below the other. updates: how many went before
        since the optimizer's slots were zeros.
        """
        gradient_of = (self._factored if self.model_parallel else self._whole)(sample, micro, *results)
        centers = None
        if self.sampler.takes_all:  # the next step sees the same centers, so they are replaced while they are at hand
            rows = self.rows.to_local()
            if not self.store.on_host:
                centers = rows
            elif not rows.is_cuda:
                centers = rows.numpy()
        self.store.update(sample.rows, gradient_of, step, lr, updates, centers)
        self._current = centers is not None

    def _factored(
        self, sample: Sample, micro: int, slopes: flow.Tensor, directions: flow.Tensor, target_slopes: flow.Tensor
    ) -> Callable[[slice], np.ndarray | flow.Tensor]:
        """Slots -> their rows of the gradient, where the store is."""
        slopes, directions, targets = slopes.to_local(), directions.to_local(), target_slopes.to_local()[:, 0]
        weight = (self._half_weight(len(sample.labels) // micro) if self.half else 1.0) / micro
        # Each micro-batch is a part of every rank's rows, while the sample's labels go rank by rank.
        ranks = len(self.sampler.counts)
        labels = sample.labels.reshape(ranks, micro, -1).swapaxes(0, 1).ravel() - self.sampler.first_slot
        own = np.flatnonzero((labels >= 0) & (labels < self.sampler.count))
        columns = labels[own]
        if self.store.on_host and not slopes.is_cuda:
            slopes, directions = slopes.numpy(), directions.numpy() * np.float32(weight)
            slopes[own, columns] = targets.numpy()[own]
            return lambda slots: slopes[:, slots].T @ directions
        if len(own):
            place, columns = (flow.tensor(index).to(slopes.device) for index in (own, columns))
            slopes[place, columns] = targets[place].to(slopes.dtype)

        def gradient_of(slots: slice) -> flow.Tensor:
            return flow.matmul(slopes[:, slots], directions, transpose_a=True).to(flow.float32) * weight

        return _Fetched(gradient_of, self.sampler.count) if self.store.on_host else gradient_of

    def _whole(self, sample: Sample, micro: int, gradient: flow.Tensor) -> Callable[[slice], np.ndarray | flow.Tensor]:
        """As `_factored`, without model_parallel."""
        gradient = gradient.to_local()
        if micro > 1:
            gradient = gradient.reshape(micro, -1, gradient.shape[1]).mean(dim=0)
        return (gradient.numpy() if self.store.on_host else gradient).__getitem__
