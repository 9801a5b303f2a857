"""The step of a softmax over very many classes, whose centers are split over the ranks: logits, loss and gradients.

It knows nothing of where the centers are kept; heads/class_parallel.py brings them and trains them.
"""

from dataclasses import replace

import oneflow as flow
from oneflow import nn

from heads.class_parameters import parameter_gradient, parameters_of
from heads.columns import Columns
from heads.sampling import ClassSampler
from losses.margin import Margin, Penalty, Rows

# exp(z) summed over 1e8 classes stays inside float32 while |z| is at most this, so no maximum need be taken first.
_SAFE_LOGIT = 64.0
# exp of it is 0, whatever the maximum of the row; float16 can hold it.
_NO_LOGIT = -3e4
# Under AMP the products of the backward pass run in float16, where probabilities below 6e-8 / 16 count as 0.
_HALF_RANGE = 16.0
_TINY = 1e-24  # under the root of a norm, whose slope at 0 would be infinite


class ClassSoftmax(nn.Module):
    """Embeddings against class centers, the logits of a margin, cross entropy. Both are normalized, if the margin does
    not say otherwise.

    sampler: which class centers a step sees, its slots. margin: one of losses/. centers: of each class, the nearest of
    which counts (Deng et al., "Sub-center ArcFace", ECCV 2020). smoothing: this share of a row's label is spread over
    all slots. filtering: cosines of other classes above it become 0, without gradient (0: off), against mislabeled
    identities. half: mixed precision, the softmax is scaled so that float16 holds it; dtype: of the products and of the
    centers' copy `rows`, float16 on a card under `half`. model_parallel: slots are split over the ranks, S(1) for
    logits, and only (B, 1) and (B, E) cross them; else every rank holds all centers and its own rows of the batch, and
    the centers' gradient, (C, E), is summed over the ranks. weight: of the loss in a sum of several.

    The part with an axis over slots is differentiated by hand: with model_parallel the step holds no gradient of the
    centers, (slots, E), but only the softmax it is made of, (B, slots), by which the centers train block by block
    after the step. Three (B, slots) float32 tensors and one bool are made for it, and the output. Nothing of the
    head is scaled by AMP's loss scale.
    """

    def __init__(
        self,
        sampler: ClassSampler,
        embedding_size: int,
        placement: flow.placement,
        margin: Margin,
        filtering: float = 0.0,
        half: bool = False,
        model_parallel: bool = True,
        dtype: flow.dtype = flow.float32,
        centers: int = 1,
        smoothing: float = 0.0,
        weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.sampler, self.margin = sampler, margin
        self.filtering, self.half, self.model_parallel, self.dtype = filtering, half, model_parallel, dtype
        self.smoothing, self.weight = smoothing, weight
        self._count = sum(sampler.counts)
        width = embedding_size + margin.has_bias + len(margin.parameters)
        self.columns = Columns(centers, width)
        split = flow.sbp.split(0) if model_parallel else flow.sbp.broadcast
        # rows: (slots, centers * width) S(0), or broadcast without model_parallel; as the products take them, so
        # normalized if the margin wants cosines; `ClassParallelHead` fills them in
        rows = flow.zeros(self._count, centers * width, dtype=self.dtype, placement=placement, sbp=split)
        self.register_buffer("rows", rows, persistent=False)
        # A column's slot, on whatever rank it is: int32, which compares twice as fast as int64 on a CPU.
        ids = flow.arange(self._count, dtype=flow.int32, placement=placement, sbp=split)
        self.register_buffer("slots", ids, persistent=False)

    def forward(
        self,
        embedding: flow.Tensor,
        labels: flow.Tensor,
        state: dict[str, flow.Tensor],
        random: flow.Tensor | None = None,
    ) -> tuple[flow.Tensor, dict]:
        """embedding: (B, E) S(0), labels: (B,) int64 S(0), slots of the sample; state: the margin's, (1,) broadcast;
        random: (B, 1) S(0) for a margin that asks for it.

        Returns a scalar, the objective, whose gradient by the embedding is the loss's though its value is not, and

        losses: named scalars, "loss" the mean of the global batch, and what it is made of if it has several parts
        state: as it is after this step
        results: what `ClassParallelHead.update` needs, with model_parallel the factors of the gradient by the centers,
            ``slopes.T @ directions`` with target_slopes put into each row's own slot:
            slopes (B, slots) S(1), directions (B, width) broadcast, target_slopes (B, 1) broadcast; with several
            centers of a class, which of them counts: nearest (B, centers) broadcast for its own, number (B, slots) int8
            S(1) for all; and if classes have parameters, the gradient of each row's own, parameters (B, n) broadcast.
            Or else that gradient itself without the parameters', (C, centers * width) broadcast, and directions,
            parameters and nearest as above
        """
        margin, scale, batch = self.margin, self.margin.scale, embedding.shape[0]
        rows_sbp = flow.sbp.broadcast if self.model_parallel else flow.sbp.split(0)  # of what counts images
        embedding = embedding.to(flow.float32)
        norm = flow.sqrt((embedding * embedding).sum(dim=1, keepdim=True) + _TINY)  # (B, 1) S(0)
        unit = nn.functional.normalize(embedding, dim=1) if margin.normalized else embedding
        # The number of a center that is a bias meets a 1; a parameter meets a 0, for it is no part of the product.
        met = [1.0] * margin.has_bias + [0.0] * len(margin.parameters)
        if met:
            unit = flow.cat([unit, *(norm.detach() * 0.0 + number for number in met)], dim=1)
        directions = unit.detach().to_global(sbp=rows_sbp)  # (B, width)
        # An embedding that is no number shows in the loss and in the backbone's gradient, by which AMP leaves the step
        # out; the centers must not learn it.
        directions = directions.masked_fill(flow.ne(directions, directions), 0.0)
        labels = labels.to_global(sbp=rows_sbp)
        own, cosine, nearest = self.columns.own(self.rows, labels, directions, rows_sbp)  # (B, width), (B, 1)
        is_target = flow.eq(labels.to(flow.int32).unsqueeze(1), self.slots.unsqueeze(0))  # (B, slots)
        factor = 1.0 if margin.looks_at_others else scale
        parts = self.columns.parts(self.rows)
        products, number = self.columns.products((directions * factor).to(self.dtype), parts)  # (B, slots)
        products = products.to(flow.float32) if margin.looks_at_others else products

        random = None if random is None else random.to_global(sbp=rows_sbp)
        state = {name: value.unsqueeze(0) for name, value in state.items()}  # (1, 1): beside it (B, C) stays split
        seen = Rows(
            cosine, norm.detach().to_global(sbp=rows_sbp), state, (), random, parameters_of(margin.parameters, own)
        )
        seen = self._with_statistics(seen, products, is_target, rows_sbp)
        if state:
            cosines, norms = (column.to_global(sbp=flow.sbp.broadcast) for column in (seen.cosine, seen.norm))
            sums = tuple(total.to_global(sbp=flow.sbp.broadcast) for total in seen.statistics)
            after = margin.next_state(Rows(cosines, norms, state, sums))
            # A NaN would stay in the state for good, though AMP leaves out the step that made it.
            state = {name: flow.where((new - new) == 0.0, new, state[name]) for name, new in after.items()}
        seen = replace(seen, norm=seen.norm.masked_fill((seen.norm - seen.norm) != 0.0, 1.0), state=state)

        target_logit = margin.target(seen) * scale
        logits, filtered, passes = self._other_logits(products, is_target, seen)
        if margin.bound > _SAFE_LOGIT:
            # A plain maximum has no S(1): the logits would cross the ranks. This one is each rank's own, (B, ranks).
            peaks = flow._C.reduce_max_device_stage(logits, axis=[1])[0].to_global(sbp=rows_sbp)
            peak = flow.maximum(peaks.amax(dim=1, keepdim=True), target_logit)
            logits, target_logit = logits - peak, target_logit - peak
        others = flow.exp(logits)
        other_total = others.sum(dim=1, keepdim=True).to_global(sbp=rows_sbp)  # (B, 1)
        total = other_total + flow.exp(target_logit)
        value, target_slope = flow.log(total) - target_logit, -other_total
        if self.smoothing:
            share = self.smoothing / self._count
            others = (others - total * share).masked_fill(is_target, 0.0)
            sum_of_logits = logits.masked_fill(is_target, 0.0).sum(dim=1, keepdim=True).to_global(sbp=rows_sbp)
            value = value + target_logit * (self.smoothing - share) - sum_of_logits * share
            target_slope = target_slope + total * (self.smoothing - share)
        if passes is not None:
            others = others * passes
        if filtered is not None:
            others = others.masked_fill(filtered, 0.0)
        losses = {"loss": value.mean() + (norm.detach() * 0.0).mean()}

        # By the target's cosine: (probability - 1) * slope of the margin; by another's: its probability. Both times
        # scale / B; and both still times `total`, because a column (B, 1) is far cheaper to scale than (B, slots).
        slope = target_slope * margin.slope(seen)
        ratio, pull_weight = self.weight * scale / batch / total, 1.0
        if self.half:  # float16 holds probabilities, and not the powers of e that they are made of
            others, slope = (others * (_HALF_RANGE / total)).to(self.dtype), slope * (_HALF_RANGE / total)
            ratio, pull_weight = 1.0, self._half_weight(batch)
        pull = self.columns.pull(others, number, parts, pull_weight).to_global(sbp=rows_sbp)
        pull = (pull + slope * own * pull_weight) * ratio  # (B, width) the gradient by what meets the centers
        objective = (unit * pull.to_global(sbp=flow.sbp.split(0))).sum()

        norm_slope, penalty = margin.norm_slope(seen), margin.penalty(seen) or Penalty()
        by_target = target_slope / total * (self.weight * scale / batch)
        by_norm = [] if norm_slope is None else [norm_slope * by_target]
        by_norm += [] if penalty.by_norm is None else [penalty.by_norm * (self.weight / batch)]
        for slope_of_norm in by_norm:
            objective = objective + (norm * slope_of_norm.to_global(sbp=flow.sbp.split(0))).sum()
        if penalty.value is not None:
            losses = {"softmax": losses["loss"], "penalty": penalty.value.mean()}
            losses["loss"] = losses["softmax"] + losses["penalty"]
        by_parameters = parameter_gradient(margin, seen, penalty, by_target, self.weight / batch)

        directions = directions.to(self.dtype) if self.half else directions * ratio
        results = {"directions": directions}
        results |= {} if by_parameters is None else {"parameters": by_parameters}
        results |= {} if nearest is None else {"nearest": nearest}
        if self.model_parallel:
            results |= {"slopes": others, "target_slopes": slope}
            results |= {} if number is None else {"number": number.to(flow.int8)}
        else:
            slope = slope.to(self.dtype)
            gradient = self.columns.gradient(others, number, is_target, slope, nearest, directions).to(flow.float32)
            results["gradient"] = gradient * self._half_weight(batch) if self.half else gradient
            results = {name: tensor.to_global(sbp=flow.sbp.broadcast) for name, tensor in results.items()}
        state = {name: number.reshape(1) for name, number in state.items()}
        return objective, {"losses": losses, "state": state, "results": results}

    def _with_statistics(
        self, seen: Rows, cosines: flow.Tensor, is_target: flow.Tensor, rows_sbp: flow.sbp.sbp
    ) -> Rows:
        """With the margin's sums over the other classes of all ranks, (B, 1) each."""
        if not self.margin.has_statistics:
            return seen
        each = self.margin.statistics(cosines, seen)
        sums = (values.masked_fill(is_target, 0.0).sum(dim=1, keepdim=True) for values in each)
        return replace(seen, statistics=tuple(part.to_global(sbp=rows_sbp) for part in sums))

    def _other_logits(
        self, products: flow.Tensor, is_target: flow.Tensor, seen: Rows
    ) -> tuple[flow.Tensor, flow.Tensor | None, flow.Tensor | None]:
        """Logits of other classes, (B, slots) float32 with the targets' so low that they count as 0; which of them
        filtering has set to 0, bool; and the slopes of the others that the margin reshapes. The latter two or None.

        products: float32 cosines if the margin looks at others, else what is scale times as large. The targets are
        masked before the logits are exponentiated: taken out of the sum afterwards, they would take the others' digits
        along.
        """
        margin, scale, filtered, passes = self.margin, self.margin.scale, None, None
        if margin.looks_at_others:
            logits = (margin.others(products, seen) if margin.reshapes_others else products) * scale
            passes = margin.others_slope(products, seen) if margin.reshapes_others else None
            if self.filtering > 0:
                filtered = products.masked_fill(is_target, -1.0) > self.filtering
                logits = logits.masked_fill(filtered, 0.0)
            return logits.masked_fill(is_target, _NO_LOGIT), filtered, passes
        logits = products.masked_fill(is_target, _NO_LOGIT).to(flow.float32)
        if self.filtering > 0:  # such a cosine is 0 and has no slope, but it still counts in the softmax
            filtered = logits > self.filtering * scale
            logits = logits.masked_fill(filtered, 0.0)
        return logits, filtered, None

    def _half_weight(self, batch: int) -> float:
        """What the gradient by centers still lacks under `half`; float16 would lose it in the directions."""
        return self.weight * self.margin.scale / batch / _HALF_RANGE
