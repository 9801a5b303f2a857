"""What a loss over class centers is asked for: the logits of a softmax, and by what training goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import oneflow as flow


def ones_like(values: flow.Tensor) -> flow.Tensor:
    """Ones from finite values; OneFlow's own makes a constant in the compiled step, with a warning on every rank."""
    return values * 0.0 + 1.0


@dataclass(frozen=True)
class Rows:
    """What a margin sees of the images of a step, all of them (B, 1) float32 columns without gradient.

    cosine: of the embedding and its own class center (their product, if the margin does not want them normalized);
    norm: of the embedding. state: the margin's own numbers, (1, 1) each, beside which a (B, C) tensor stays split over
    the classes. statistics: what the margin asked for of the other classes, summed over all of them. random: standard
    normal numbers that follow from seed, step and record, if the margin asks for them. parameters: the learned numbers
    of the row's own class, by name. With class-parallel centers the columns are broadcast, else S(0): formulas for a
    row work on either.
    """

    cosine: flow.Tensor
    norm: flow.Tensor
    state: Mapping[str, flow.Tensor]
    statistics: tuple[flow.Tensor, ...] = ()
    random: flow.Tensor | None = None
    parameters: Mapping[str, flow.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Penalty:
    """A term of each row's loss besides the softmax, and its derivatives by the norm and by parameters, (B, 1) each."""

    value: flow.Tensor | None = None
    by_norm: flow.Tensor | None = None
    by_parameters: Mapping[str, flow.Tensor] = field(default_factory=dict)


class Margin:
    """A softmax over cosines whose target pays a margin: the logits are ``scale * target(rows)`` for the target and
    ``scale * others(cosines, rows)`` for other classes.

    A subclass states `target` and its derivatives; everything else has a default. It is differentiated by hand, since
    the head keeps no graph of the (B, C) part: each ``..._slope`` is the derivative of what it is named after, and one
    test holds all of them against finite differences. Methods work on tensors of any SBP, element by element; only
    `next_state` sees the global batch and may take means over it.

    scale: s, a number; state: the initial value of each number that is carried from step to step; parameters: of each
    number that every class learns, beside its center and by the same optimizer. advice: a sentence for the user if the
    loss's own parameters do not go well together. normalized: embeddings and centers are; else their plain
    product takes the place of cosines, plus a learned number per class if has_bias.
    """

    scale: float = 64.0
    state: Mapping[str, float] = {}
    parameters: Mapping[str, float] = {}
    advice: str | None = None
    normalized, has_bias = True, False
    reshapes_others = False  # whether `others` changes anything; it costs (B, C) tensors
    has_statistics = False  # whether `statistics` is asked for; it costs (B, C) tensors
    is_random = False  # whether `Rows.random` is wanted

    @property
    def looks_at_others(self) -> bool:
        """Whether the cosines of other classes are needed as they are, before the scale."""
        return self.reshapes_others or self.has_statistics

    @property
    def bound(self) -> float:
        """The largest size of a logit: above 64 the head takes a maximum first, for exp would overflow at 88."""
        return self.scale

    def next_state(self, rows: Rows) -> dict[str, flow.Tensor]:
        """The state after a step, (1, 1) each, from the global batch and `rows.state`; used in that step already."""
        return {}

    def statistics(self, cosines: flow.Tensor, rows: Rows) -> tuple[flow.Tensor, ...]:
        """(B, C) each, whose sums over the other classes `rows.statistics` holds from then on, as (B, 1) columns.

        No gradient flows through them. rows: before this step's `next_state`.
        """
        return ()

    def target(self, rows: Rows) -> flow.Tensor:
        """(B, 1): what takes the place of the target's cosine."""
        raise NotImplementedError

    def slope(self, rows: Rows) -> flow.Tensor:
        """(B, 1): the derivative of `target` by the cosine that training goes by."""
        raise NotImplementedError

    def norm_slope(self, rows: Rows) -> flow.Tensor | None:
        """(B, 1): the derivative of `target` by the norm; None if no gradient goes there."""
        return None

    def others(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        """(B, C) -> (B, C): what takes the place of other classes' cosines; only with `reshapes_others`."""
        return cosines

    def others_slope(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        """(B, C): the derivative of `others` by the cosines; only with `reshapes_others`."""
        return ones_like(cosines)

    def parameter_slopes(self, rows: Rows) -> dict[str, flow.Tensor]:
        """(B, 1) each: the derivatives of `target` by `rows.parameters`."""
        return {}

    def penalty(self, rows: Rows) -> Penalty | None:
        """What is added to the loss of each row."""
        return None
