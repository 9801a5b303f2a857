"""What a loss over class centers is asked for: the logits of a softmax, and by what training goes on."""

from collections.abc import Mapping
from dataclasses import dataclass

import oneflow as flow


def ones_like(values: flow.Tensor) -> flow.Tensor:
    """Ones from finite values; OneFlow's own makes a constant in the compiled step, with a warning on every rank."""
    return values * 0.0 + 1.0


@dataclass(frozen=True)
class Rows:
    """What a margin sees of the images of a step, all of them (B, 1) float32 columns without gradient.

    cosine: of the embedding and its own class center; norm: of the embedding. state: the margin's own numbers, (1,)
    each. With class-parallel centers the columns are broadcast, else S(0): formulas for a row work on either.
    """

    cosine: flow.Tensor
    norm: flow.Tensor
    state: Mapping[str, flow.Tensor]


class Margin:
    """A softmax over cosines whose target pays a margin: the logits are ``scale * target(rows)`` for the target and
    ``scale * others(cosines, rows)`` for other classes.

    A subclass states `target` and its derivatives; everything else has a default. It is differentiated by hand, since
    the head keeps no graph of the (B, C) part: each ``..._slope`` is the derivative of what it is named after, and one
    test holds all of them against finite differences. Methods work on tensors of any SBP, element by element; only
    `next_state` sees the global batch and may take means over it.

    scale: s, a number; state: the initial value of each number that is carried from step to step; advice: a sentence
    for the user if the parameters do not go well together.
    """

    scale: float = 64.0
    state: Mapping[str, float] = {}
    advice: str | None = None
    reshapes_others = False  # whether `others` changes anything; it costs (B, C) tensors

    @property
    def bound(self) -> float:
        """The largest size of a logit: above 64 the head takes a maximum first, for exp would overflow at 88."""
        return self.scale

    def next_state(self, rows: Rows) -> dict[str, flow.Tensor]:
        """The state after a step, (1,) each, from the global batch and `rows.state`; used in that step already."""
        return {}

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

    def penalty(self, norm: flow.Tensor) -> tuple[flow.Tensor, flow.Tensor] | None:
        """(B, 1) each: a term of each row's loss besides the softmax, and its derivative by the norm."""
        return None
