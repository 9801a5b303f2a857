"""AdaptiveFace (Liu et al., CVPR 2019): every class learns its own margin, and a penalty rewards large ones."""

import oneflow as flow

from losses.margin import Margin, Penalty, Rows, ones_like
from losses.registry import register


@register("adaptiveface")
class AdaptiveFace(Margin):
    """m: the margin of every class at first, lambda_m: the weight of the penalty.

    The target is c - m_y, and lambda_m (1 - m_y) is added to each row's loss: over balanced classes its mean is the
    paper's, lambda_m (1 - mean of all m). A margin has no effect below 0, where only the penalty moves it, and no
    reward above 1, where only the softmax does; so it stays in [0, 1] to a step. The softmax pulls it down by at most
    s: with a lambda_m above s, as published (70, s 30), all margins rise to 1.
    """

    def __init__(self, m: float = 0.4, lambda_m: float = 70.0, s: float = 64.0) -> None:
        self.scale, self.parameters, self._lambda = s, {"m": m}, lambda_m

    def target(self, rows: Rows) -> flow.Tensor:
        return rows.cosine - rows.parameters["m"].clamp(min=0.0)

    def slope(self, rows: Rows) -> flow.Tensor:
        return ones_like(rows.cosine)

    def parameter_slopes(self, rows: Rows) -> dict[str, flow.Tensor]:
        m = rows.parameters["m"]
        return {"m": -ones_like(m).masked_fill(m < 0.0, 0.0)}

    def penalty(self, rows: Rows) -> Penalty:
        m = rows.parameters["m"]
        slope = -ones_like(m).masked_fill(m > 1.0, 0.0)
        return Penalty((1.0 - m.clamp(max=1.0)) * self._lambda, by_parameters={"m": slope * self._lambda})
