"""Margins for tests, of what a margin may ask for and no loss of losses/ does: statistics over other classes (as
NPCFace, Zeng et al. 2020) and random numbers (as ElasticFace, Boutros et al. 2022)."""

import oneflow as flow

from losses import Margin, list_losses, make_margin, ones_like
from losses.angle import add_angle, add_angle_slope


class HardOthers(Margin):
    """Others above cos(theta + m) are hard: the target's angle grows with their mean, and they themselves with the
    running mean of that."""

    reshapes_others = has_statistics = True

    def __init__(self, m=0.5, m0=0.4, m1=0.2, keep=0.9, s=64.0):
        self.scale, self.state = s, {"hardness": 0.1}
        self._m, self._m0, self._m1, self._keep = m, m0, m1, keep

    @property
    def bound(self):
        return 2.1 * self.scale

    def statistics(self, cosines, rows):
        easy = self._easy(cosines, rows)
        return cosines.masked_fill(easy, 0.0), ones_like(cosines).masked_fill(easy, 0.0)

    def next_state(self, rows):
        seen = self._hardness(rows).mean(dim=0, keepdim=True)
        return {"hardness": rows.state["hardness"] * self._keep + seen * (1 - self._keep)}

    def target(self, rows):
        return flow.where(rows.cosine > 0, add_angle(rows.cosine, self._angle(rows)), rows.cosine)

    def slope(self, rows):
        return add_angle_slope(rows.cosine, self._angle(rows)).masked_fill(rows.cosine <= 0, 1.0)

    def others(self, cosines, rows):
        return flow.where(self._easy(cosines, rows), cosines, cosines * 1.1 + rows.state["hardness"])

    def others_slope(self, cosines, rows):
        return ones_like(cosines).masked_fill(cosines > add_angle(rows.cosine, self._m), 1.1)

    def _easy(self, cosines, rows):
        return cosines <= add_angle(rows.cosine, self._m)

    def _hardness(self, rows):
        total, count = rows.statistics
        return total / count.clamp(min=1.0)

    def _angle(self, rows):
        return self._hardness(rows) * self._m1 + self._m0


class SoftNeighbors(Margin):
    """The target pays as much as there are others near the image; nothing is reshaped."""

    has_statistics = True

    def __init__(self, m=0.2, s=64.0):
        self.scale, self._m = s, m

    def statistics(self, cosines, rows):
        return (flow.exp(cosines * 4.0),)

    def target(self, rows):
        return rows.cosine - flow.log(rows.statistics[0] + 1.0) * self._m

    def slope(self, rows):
        return ones_like(rows.cosine)

    @property
    def bound(self):
        return self.scale * 3


class RandomAngle(Margin):
    is_random = True

    def __init__(self, m=0.5, sigma=0.05, s=64.0):
        self.scale, self._m, self._sigma = s, m, sigma

    def target(self, rows):
        return add_angle(rows.cosine, self._angle(rows))

    def slope(self, rows):
        return add_angle_slope(rows.cosine, self._angle(rows))

    def _angle(self, rows):
        return rows.random * self._sigma + self._m


EXTRA = {"hard_others": HardOthers, "soft_neighbors": SoftNeighbors, "random_angle": RandomAngle}
NAMES = [*list_losses(), *EXTRA]


def margin_of(name, **parameters):
    return EXTRA[name](**parameters) if name in EXTRA else make_margin(name, **parameters)
