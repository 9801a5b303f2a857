"""SGD with momentum and weight decay that touches only the class centers of a step.

A sampled row w with momentum v and gradient g takes the step of ordinary SGD, with the same mu, weight decay and lr:

    v = mu * v + g + weight_decay * w
    w = w - lr * v

and a row that is not sampled keeps w and v as they are, as in PLSC and arcface_torch. Dense SGD would have gone on in
the steps between: with g = 0, v fades by mu per step, and w drifts along v and shrinks by the decay. So sampled every
1 / r steps on average, a row here decays about r times as much per step as under dense SGD, and its momentum reaches
back over 1 / r times as many steps. At usual rates neither costs accuracy, and the stale momentum is a gradient of
the same class.

With ``correct_skipped`` a row first catches up with the steps it missed, exactly as dense SGD with g = 0 would have
gone at the present lr: the k-th power of the 2x2 matrix of one such step,

    [w, v] <- [[1 - lr * weight_decay, -lr * mu], [weight_decay, mu]]^k [w, v],

so that sampling changes nothing for a row but the gradients it does not see.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SparseMomentum:
    """The rule; see the module. `update` works on arrays of NumPy as on tensors of OneFlow."""

    momentum: float = 0.9
    weight_decay: float = 5e-4
    correct_skipped: bool = False

    def update(self, w, v, gradient, lr: float, radial=0.0):
        """(w, v) after a step; w, v, gradient: (rows, E) float32. The arguments may be overwritten.

        radial: (rows, 1), what the gradient has besides along each row: ``gradient + radial * w`` is meant.
        """
        v *= self.momentum
        v += gradient
        v += w * (radial + self.weight_decay)
        w -= v * lr
        return w, v

    def catch_up(self, gaps: np.ndarray, lr: float) -> np.ndarray:
        """The matrices (len(gaps), 2, 2) float32 that take a row's (w, v) over `gaps` missed steps (none below 0)."""
        distinct, which = np.unique(np.maximum(gaps, 0), return_inverse=True)
        step = np.array([[1 - lr * self.weight_decay, -lr * self.momentum], [self.weight_decay, self.momentum]])
        powers = [np.linalg.matrix_power(step, int(gap)) for gap in distinct]
        return np.array(powers, np.float32)[which]
