"""MagFace (Meng et al., CVPR 2021): the margin grows with the embedding's norm, and a penalty rewards large norms."""

import math

import oneflow as flow

from losses.angle import add_angle, add_angle_slope, add_angle_slope_by_m
from losses.margin import Margin, Penalty, Rows, ones_like
from losses.registry import register
from utils.errors import UserError


@register("magcosface")
class MagCosFace(Margin):
    """l_a, u_a: the norms between which the margin grows from l_m to u_m; lambda_g: the weight of the penalty.

    a is the norm clamped to l_a ... u_a, and m(a) = l_m + (u_m - l_m) / (u_a - l_a) (a - l_a). The target is c - m(a),
    CosFace's, and lambda_g (a / u_a^2 + 1 / a) is added to each row's loss. Both have a gradient by the norm. The paper
    wants lambda_g large enough for the best norm to be above l_a.
    """

    def __init__(
        self,
        l_a: float = 10.0,
        u_a: float = 110.0,
        l_m: float = 0.35,
        u_m: float = 0.8,
        lambda_g: float = 150.0,
        s: float = 64.0,
    ) -> None:
        if not 0 < l_a < u_a:
            raise UserError(f"l_a = {l_a:g} and u_a = {u_a:g} are not possible: 0 < l_a < u_a is asked for")
        self.scale = s
        self._l_a, self._u_a, self._l_m, self._lambda = l_a, u_a, l_m, lambda_g
        self._k = (u_m - l_m) / (u_a - l_a)  # the slope of m(a)
        self.least_lambda = s * self._k * u_a**2 * l_a**2 / (u_a**2 - l_a**2)  # the paper's bound
        if lambda_g < self.least_lambda:
            self.advice = f"lambda_g = {lambda_g:g} may let norms fall to l_a; use at least {self.least_lambda:.4g}"

    def target(self, rows: Rows) -> flow.Tensor:
        return rows.cosine - self._m(rows.norm)

    def slope(self, rows: Rows) -> flow.Tensor:
        return ones_like(rows.cosine)

    def norm_slope(self, rows: Rows) -> flow.Tensor:
        return self._moving(self._slope_by_m(rows) * self._k, rows.norm)

    def penalty(self, rows: Rows) -> Penalty:
        a = rows.norm.clamp(self._l_a, self._u_a)
        value = a * (1.0 / self._u_a**2) + 1.0 / a
        slope = self._moving(1.0 / self._u_a**2 - 1.0 / (a * a), rows.norm)
        return Penalty(value * self._lambda, slope * self._lambda)

    def _slope_by_m(self, rows: Rows) -> flow.Tensor:
        """(B, 1): the derivative of `target` by the margin."""
        return -ones_like(rows.cosine)

    def _m(self, norm: flow.Tensor) -> flow.Tensor:
        """(B, 1): the margin of a norm."""
        return (norm.clamp(self._l_a, self._u_a) - self._l_a) * self._k + self._l_m

    def _moving(self, slope: flow.Tensor, norm: flow.Tensor) -> flow.Tensor:
        """A slope by the norm; 0 if the norm is clamped."""
        return slope.masked_fill(norm < self._l_a, 0.0).masked_fill(norm > self._u_a, 0.0)


@register("magface")
class MagFace(MagCosFace):
    """The target is cos(theta + m(a)), ArcFace's. With easy_margin only cosines above 0 pay it, others
    nothing; without, all up to theta = pi - m pay it, and those beyond c - m sin(m).
    """

    def __init__(
        self,
        l_a: float = 10.0,
        u_a: float = 110.0,
        l_m: float = 0.45,
        u_m: float = 0.8,
        lambda_g: float = 35.0,
        s: float = 64.0,
        easy_margin: bool = True,
    ) -> None:
        super().__init__(l_a, u_a, l_m, u_m, lambda_g, s)
        self._easy_margin = easy_margin

    def target(self, rows: Rows) -> flow.Tensor:
        m = self._m(rows.norm)
        beyond = rows.cosine if self._easy_margin else rows.cosine - m * flow.sin(m)
        return flow.where(self._pays_angle(rows), add_angle(rows.cosine, m), beyond)

    def slope(self, rows: Rows) -> flow.Tensor:
        slope = add_angle_slope(rows.cosine, self._m(rows.norm))
        return flow.where(self._pays_angle(rows), slope, ones_like(rows.cosine))

    def _slope_by_m(self, rows: Rows) -> flow.Tensor:
        m = self._m(rows.norm)
        beyond = m * 0.0 if self._easy_margin else -flow.sin(m) - m * flow.cos(m)
        return flow.where(self._pays_angle(rows), add_angle_slope_by_m(rows.cosine, m), beyond)

    def _pays_angle(self, rows: Rows) -> flow.Tensor:
        """(B, 1) bool."""
        return rows.cosine > (0.0 if self._easy_margin else flow.cos(math.pi - self._m(rows.norm)))
