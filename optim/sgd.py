"""Stochastic gradient descent with momentum (Polyak 1964; Sutskever et al., ICML 2013, in the form of most libraries).

With momentum mu, weight decay wd and rate lr:

    SGD:   v = mu v + g + wd w;   w = w - lr v
    SGDW:  v = mu v + g;          w = w - lr v - lr wd w

A class center that is not in a step's sample keeps w and v as they are, as in PLSC and arcface_torch. Dense SGD would
have gone on in the steps between: with g = 0, v fades by mu per step, and w drifts along v and shrinks by the decay. So
sampled every 1 / r steps on average, a row decays about r times as much per step as under dense SGD, and its momentum
reaches back over 1 / r times as many steps. At usual rates neither costs accuracy, and the stale momentum is a gradient
of the same class. With `correct_skipped` a row first catches up with the steps it missed, exactly as dense SGD with
g = 0 would have gone at the present lr: by a power of the 2x2 matrix of one such step.
"""

import numpy as np
import oneflow as flow

from native.centers import SgdSettings
from optim.optimizer import Optimizer
from optim.registry import register


@register("sgd")
class SGD(Optimizer):
    def __init__(self, momentum: float = 0.9, weight_decay: float = 5e-4) -> None:
        self.momentum, self.weight_decay = momentum, weight_decay
        self.slots = ("momentum",) if momentum else ()
        self.operator = "momentum_update" if momentum else "sgd_update"

    def attributes(self, step: int) -> dict[str, float | bool]:
        if not self.momentum:
            return {}
        return {"beta": self.momentum, "dampening": 0.0, "nesterov": False, "maximize": False}

    def in_graph(self, groups: list[dict]) -> flow.optim.Optimizer:
        return flow.optim.SGD(groups, lr=1.0, momentum=self.momentum)

    def update(self, w, slots: tuple, gradient, lr: float, step: int) -> tuple:
        if not self.decoupled:
            gradient = gradient + w * self.weight_decay
        for v in slots:
            v *= self.momentum
            v += gradient
            gradient = v
        if self.decoupled:
            w *= 1 - lr * self.weight_decay
        w -= gradient * lr
        return w, slots

    def sgd_settings(self, lr: float) -> SgdSettings:
        return SgdSettings(lr, self.momentum, self.weight_decay, self.decoupled)

    def catch_up(self, gaps: np.ndarray, lr: float) -> np.ndarray:
        distinct, which = np.unique(np.maximum(gaps, 0), return_inverse=True)
        step = np.array([[1 - lr * self.weight_decay, -lr * self.momentum], self._next_momentum()])
        powers = [np.linalg.matrix_power(step, int(gap)) for gap in distinct]
        return np.array(powers, np.float32)[which]

    def _next_momentum(self) -> list[float]:
        """By w and v, without a gradient."""
        return [0.0 if self.decoupled else self.weight_decay, self.momentum]


@register("sgdw")
class SGDW(SGD):
    decoupled = True
