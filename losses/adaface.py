"""AdaFace (Kim et al., CVPR 2022): the norm of an embedding, a sign of image quality, decides which margin it pays."""

import math

import oneflow as flow

from losses.margin import Margin, Rows
from losses.registry import register

_EPS = 1e-3  # how far cosines and angles stay from their ends; also added to the deviation
_SMALLEST, _LARGEST = 1e-3, 100.0  # what norms are clipped to


@register("adaface")
class AdaFace(Margin):
    """m: the margin; h: how strongly the norm decides; t_alpha: the weight of a batch in the running statistics.

    z is the norm, clipped, and z^ = clip(h (z - mean) / (std + 1e-3), -1, 1). The target pays
    cos(theta - m z^) - m - m z^: at z^ = -1 ArcFace's angle, so that hard images of poor quality count less; at 0
    CosFace's cosine; at 1 a negative angle and 2 m, so that hard images of good quality count more. The norm gets no
    gradient.

    Two things differ from the authors' code: mean and deviation are the global batch's, not each card's, and only the
    target's cosine is clipped, since other classes need no angle.
    """

    def __init__(self, m: float = 0.4, h: float = 0.333, t_alpha: float = 0.01, s: float = 64.0) -> None:
        self.scale, self.state = s, {"mean": 20.0, "std": 100.0}
        self._m, self._h, self._weight = m, h, t_alpha

    def next_state(self, rows: Rows) -> dict[str, flow.Tensor]:
        norm = rows.norm.clamp(_SMALLEST, _LARGEST)
        mean = norm.mean(dim=0, keepdim=True)  # (1, 1)
        square = (norm - mean) * (norm - mean)
        # Unbiased; 0 for a single image, not 0 / 0.
        std = flow.sqrt(square.sum(dim=0, keepdim=True) * (1.0 / max(norm.shape[0] - 1, 1)))
        seen, keep = {"mean": mean, "std": std}, 1.0 - self._weight
        return {name: seen[name] * self._weight + rows.state[name] * keep for name in seen}

    def target(self, rows: Rows) -> flow.Tensor:
        shift = self._shift(rows)
        theta = flow.acos(_clipped(rows.cosine)) - shift
        return flow.cos(theta.clamp(_EPS, math.pi - _EPS)) - self._m - shift

    def slope(self, rows: Rows) -> flow.Tensor:
        """0 if the cosine or the angle is clipped, as in the authors' code."""
        theta = flow.acos(_clipped(rows.cosine))
        moved = theta - self._shift(rows)
        slope = flow.sin(moved) / flow.sin(theta)
        for value, low, high in ((moved, _EPS, math.pi - _EPS), (rows.cosine, _EPS - 1.0, 1.0 - _EPS)):
            slope = slope.masked_fill(value < low, 0.0).masked_fill(value > high, 0.0)
        return slope

    def _shift(self, rows: Rows) -> flow.Tensor:
        """(B, 1): m z^."""
        norm = rows.norm.clamp(_SMALLEST, _LARGEST)
        quality = (norm - rows.state["mean"]) / (rows.state["std"] + _EPS)
        return (quality * self._h).clamp(-1.0, 1.0) * self._m


def _clipped(cosine: flow.Tensor) -> flow.Tensor:
    return cosine.clamp(_EPS - 1.0, 1.0 - _EPS)
