"""The weighted sum of the losses that a config asks for."""

from collections.abc import Mapping
from dataclasses import dataclass

import oneflow as flow

from losses.margin import Margin
from losses.on_embeddings import Batch, EmbeddingLoss
from losses.registry import make_embedding_loss, make_margin
from utils.config.grammar import parse_sum
from utils.config.rules import center_losses
from utils.config.schema import LOSSES


@dataclass(frozen=True)
class Term:
    """One loss on embeddings of a sum."""

    weight: float
    name: str
    loss: EmbeddingLoss


@dataclass(frozen=True)
class TotalLoss:
    """weight, name, margin: of the loss over class centers, which the head computes, with gradients that are weighted
    already; terms: the losses on embeddings.
    """

    weight: float
    name: str
    margin: Margin
    terms: tuple[Term, ...] = ()

    @property
    def wants_teacher(self) -> bool:
        return any(term.loss.wants_teacher for term in self.terms)

    @property
    def means_rate(self) -> float | None:
        """Of running class means, if a loss compares with them."""
        return next((term.loss.means_rate for term in self.terms if term.loss.means_rate is not None), None)

    def add(
        self,
        objective: flow.Tensor,
        losses: dict[str, flow.Tensor],
        outputs: Mapping[str, flow.Tensor],
        inputs: Mapping[str, flow.Tensor],
    ) -> tuple[flow.Tensor, dict[str, flow.Tensor]]:
        """The head's objective and named losses -> those of the sum: "loss", and each loss by its name, not weighted.

        outputs: as `Batch` has them, S(0); inputs: if there are terms, "classes" (B,) and "records" (B,), both int64
        S(0), and if one wants them, float32 S(0): "teacher" (B, T), unless it is among the outputs, and "means" (B, E).
        """
        if self.weight == 1 and not self.terms:
            return objective, losses
        parts = {"loss": losses["loss"] * self.weight, self.name: losses["loss"]}
        parts |= {name: value for name, value in losses.items() if name != "loss"}
        if self.terms:
            batch = _on_all_ranks(outputs, inputs)
        for term in self.terms:
            value = term.loss(batch)
            objective, parts["loss"] = objective + value * term.weight, parts["loss"] + value * term.weight
            parts[term.name] = value
        return objective, parts


def _on_all_ranks(outputs: Mapping[str, flow.Tensor], inputs: Mapping[str, flow.Tensor]) -> Batch:
    whole = flow.sbp.broadcast
    # Every rank computes the same gradient of all rows, and each keeps its own rows of it; without grad_sbp the
    # backbone's gradients would differ between the ranks. Mixed precision would go on in float16 from the backbone's
    # last operator, through a cast too, and square and sum in it: only this operator stops it.
    gathered = {
        name: flow._C.amp_black_identity(rows.to(flow.float32)).to_global(sbp=whole, grad_sbp=flow.sbp.split(0))
        for name, rows in outputs.items()
    }
    teacher = inputs["teacher"].to_global(sbp=whole) if "teacher" in inputs else gathered.pop("teacher", None)
    means = inputs["means"].to_global(sbp=whole) if "means" in inputs else None
    classes, records = (inputs[name].to_global(sbp=whole) for name in ("classes", "records"))
    return Batch(gathered, classes, records, teacher, means)


def configured_loss(cfg) -> TotalLoss:
    """The losses that a config asks for: by `loss`, or else, and if `loss` is short for one, by `margin_list`. What a
    loss over class centers does not state, it takes from `logit_scale` and `margin_gradient`.
    """
    if cfg.loss is None or cfg.loss in LOSSES:
        margins = dict(zip(("m1", "m2", "m3"), cfg.margin_list, strict=True))
        return TotalLoss(1.0, "combined", _margin(cfg, "combined", margins))
    stated = parse_sum(cfg.loss)
    ((weight, name, parameters),) = (term for term in stated if term[1] in center_losses())
    terms = tuple(
        Term(share, other, make_embedding_loss(other, **own)) for share, other, own in stated if other != name
    )
    return TotalLoss(weight, name, _margin(cfg, name, parameters), terms)


def _margin(cfg, name: str, parameters: dict[str, object]) -> Margin:
    shared = {"s": cfg.logit_scale, "gradient": cfg.margin_gradient}
    taken = {key: value for key, value in shared.items() if key in center_losses()[name]}
    return make_margin(name, **{**taken, **parameters})
