"""AdaCos (Zhang et al., CVPR 2019): no margin, and a scale that follows from how far training has come."""

import math

import oneflow as flow

from losses.margin import Margin, Rows, ones_like
from losses.registry import register

_LARGEST = 80.0  # of an exponent, which float32 can still add up


@register("adacos")
class AdaCos(Margin):
    """The scale s is log(B) / cos(min(pi / 4, theta)): B is the mean over the batch of each image's sum of exp(s c)
    over the other classes, with the s of the step before, and theta the batch's median angle to its own classes.

    The first step's scale is the paper's initial one, sqrt(2) log(C - 1), of the C classes in the step; until then the
    state is 0, with which B is C - 1.
    """

    reshapes_others = has_statistics = True

    def __init__(self) -> None:
        self.scale, self.state = 1.0, {"s": 0.0}

    @property
    def bound(self) -> float:
        return math.inf  # the scale is free to grow

    def statistics(self, cosines: flow.Tensor, rows: Rows) -> tuple[flow.Tensor, ...]:
        return (flow.exp((cosines * rows.state["s"]).clamp(max=_LARGEST)),)

    def next_state(self, rows: Rows) -> dict[str, flow.Tensor]:
        log_mean = flow.log(rows.statistics[0].mean(dim=0, keepdim=True))
        falling = flow.sort(rows.cosine, dim=0, descending=True)[0]
        middle = (falling.shape[0] - 1) // 2
        least = math.cos(math.pi / 4)
        cosine = falling[middle : middle + 1].clamp(least, 1.0).masked_fill(rows.state["s"] == 0.0, least)
        return {"s": log_mean / cosine}

    def target(self, rows: Rows) -> flow.Tensor:
        return rows.cosine * rows.state["s"]

    def slope(self, rows: Rows) -> flow.Tensor:
        return ones_like(rows.cosine) * rows.state["s"]

    def others(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return cosines * rows.state["s"]

    def others_slope(self, cosines: flow.Tensor, rows: Rows) -> flow.Tensor:
        return ones_like(cosines) * rows.state["s"]
