"""ElasticFace (Boutros et al., CVPR Workshops 2022): the margin of each image is drawn in every step."""

import oneflow as flow

from losses.angle import add_angle, add_angle_slope
from losses.margin import Margin, Rows, ones_like
from losses.registry import register


class ElasticFace(Margin):
    """m, sigma: mean and standard deviation of the margin. plus: of the margins of a batch, the largest go to the
    images that are farthest from their classes.
    """

    is_random = True

    def __init__(self, m: float, sigma: float, plus: bool, s: float) -> None:
        self.scale, self._m, self._sigma, self._plus = s, m, sigma, plus

    def _margins(self, rows: Rows) -> flow.Tensor:
        """(B, 1)."""
        assert rows.random is not None  # `is_random` asks for it
        drawn = self._by_distance(rows, rows.random) if self._plus else rows.random
        return drawn * self._sigma + self._m

    def _by_distance(self, rows: Rows, random: flow.Tensor) -> flow.Tensor:
        """(B, 1): the random numbers, in the order of the distances."""
        nearer = (rows.cosine > rows.cosine.reshape(1, -1)).to(flow.int64).sum(dim=0)  # (B,) images nearer than each
        rising = flow.sort(random.reshape(-1), dim=0)[0]
        return flow.gather(rising, 0, nearer).unsqueeze(1)


@register("elastic_arcface")
class ElasticArcFace(ElasticFace):
    """The target is cos(theta + margin). Published with plus: sigma = 0.0175."""

    def __init__(self, m: float = 0.5, sigma: float = 0.0125, plus: bool = False, s: float = 64.0) -> None:
        super().__init__(m, sigma, plus, s)

    def target(self, rows: Rows) -> flow.Tensor:
        return add_angle(rows.cosine, self._margins(rows))

    def slope(self, rows: Rows) -> flow.Tensor:
        return add_angle_slope(rows.cosine, self._margins(rows))


@register("elastic_cosface")
class ElasticCosFace(ElasticFace):
    """The target is c - margin. Published with plus: sigma = 0.025."""

    def __init__(self, m: float = 0.35, sigma: float = 0.0125, plus: bool = False, s: float = 64.0) -> None:
        super().__init__(m, sigma, plus, s)

    def target(self, rows: Rows) -> flow.Tensor:
        return rows.cosine - self._margins(rows)

    def slope(self, rows: Rows) -> flow.Tensor:
        return ones_like(rows.cosine)

    @property
    def bound(self) -> float:
        return self.scale * max(1.0, 1.0 - self._m + 9.0 * self._sigma)  # a margin below 0 is possible
