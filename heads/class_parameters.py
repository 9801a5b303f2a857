"""What each class learns besides its center, for margins that ask for it: numbers at the end of a class's row."""

from collections.abc import Iterable

import oneflow as flow

from losses.margin import Margin, Penalty, Rows


def parameters_of(names: Iterable[str], own: flow.Tensor) -> dict[str, flow.Tensor]:
    """Those of each image's class, (B, 1) by name, at the end of its center's row, own (B, width)."""
    names = list(names)
    first = own.shape[1] - len(names)
    return {name: own[:, first + i : first + i + 1] for i, name in enumerate(names)}


def parameter_gradient(
    margin: Margin, seen: Rows, penalty: Penalty, by_target: flow.Tensor, share: float
) -> flow.Tensor | None:
    """The loss's derivatives by the parameters of each image's class, (B, n); None if there are none.

    by_target: the loss's derivative by the target, (B, 1); share: of an image's penalty in the loss.
    """
    if not margin.parameters:
        return None
    slopes = {name: slope * by_target for name, slope in margin.parameter_slopes(seen).items()}
    for name, slope in penalty.by_parameters.items():
        slopes[name] = slopes[name] + slope * share
    return flow.cat([slopes[name] for name in margin.parameters], dim=1)
