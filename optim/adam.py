"""Adam (Kingma and Ba, ICLR 2015), AdamW (Loshchilov and Hutter, ICLR 2019) and LAMB (You et al., ICLR 2020).

With g the gradient, t the number of the update, from 1:

    m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g g
    r = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    Adam:   g holds wd w besides;            w = w - lr r
    AdamW:  w = w - lr r - lr wd w
    LAMB:   w = w - lr |w| / |r| (r + wd w), norms over the whole tensor, |w| / |r| = 1 if either is 0

LAMB is OneFlow's: the paper's ratio has |r + wd w| below. t counts the updates since m and v were zeros.
"""

import math

import oneflow as flow

from optim.optimizer import Optimizer
from optim.registry import register


@register("adam")
class Adam(Optimizer):
    operator, slots = "adam_update", ("m", "v")

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 5e-4) -> None:
        self.beta1, self.beta2, self.eps, self.weight_decay = beta1, beta2, eps, weight_decay

    def attributes(self, step: int) -> dict[str, float | bool]:
        corrections = self._corrections(step)
        return {
            "beta1": self.beta1,
            "beta2": self.beta2,
            "epsilon": self.eps,
            "do_bias_correction": True,
            "bias_correction1": corrections[0],
            "bias_correction2": corrections[1],
        }

    def in_graph(self, groups: list[dict]) -> flow.optim.Optimizer:
        return flow.optim.Adam(groups, lr=1.0, betas=(self.beta1, self.beta2), eps=self.eps)

    def update(self, w, slots: tuple, gradient, lr: float, step: int) -> tuple:
        m, v = slots
        corrections = self._corrections(step)
        if not self.decoupled:
            gradient = gradient + w * self.weight_decay
        m *= self.beta1
        m += gradient * (1 - self.beta1)
        v *= self.beta2
        v += gradient * gradient * (1 - self.beta2)
        if self.decoupled:
            w *= 1 - lr * self.weight_decay
        w -= m / (v**0.5 / math.sqrt(corrections[1]) + self.eps) * (lr / corrections[0])
        return w, slots

    def _corrections(self, step: int) -> tuple[float, float]:
        return 1 - self.beta1 ** (step + 1), 1 - self.beta2 ** (step + 1)


@register("adamw")
class AdamW(Adam):
    decoupled = True

    def __init__(self, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.1) -> None:
        super().__init__(beta1, beta2, eps, weight_decay)


@register("lamb")
class LAMB(Adam):
    operator, decoupled, row_wise = "lamb_update", True, False

    def in_graph(self, groups: list[dict]) -> flow.optim.Optimizer:
        return flow.optim.LAMB(groups, lr=1.0, betas=(self.beta1, self.beta2), eps=self.eps)
