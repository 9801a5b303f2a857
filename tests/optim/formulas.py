"""Every registered optimizer in float64 NumPy, written from its paper.

A formula takes the weights, the slots by name (zeros at first), the gradient, the rate, the weight decay, and t, the
number of the update from 1; it returns weights and slots.
"""

import numpy as np


def sgd(w, slots, g, lr, decay, t, momentum=0.9):
    v = momentum * slots.get("momentum", 0) + g + decay * w
    return w - lr * v, {"momentum": v}


def sgdw(w, slots, g, lr, decay, t, momentum=0.9):
    v = momentum * slots.get("momentum", 0) + g
    return w - lr * v - lr * decay * w, {"momentum": v}


def _moments(slots, g, t, beta1, beta2, eps):
    m = beta1 * slots.get("m", 0) + (1 - beta1) * g
    v = beta2 * slots.get("v", 0) + (1 - beta2) * g**2
    return m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps), {"m": m, "v": v}


def adam(w, slots, g, lr, decay, t, beta1=0.9, beta2=0.999, eps=1e-8):
    step, slots = _moments(slots, g + decay * w, t, beta1, beta2, eps)
    return w - lr * step, slots


def adamw(w, slots, g, lr, decay, t, beta1=0.9, beta2=0.999, eps=1e-8):
    step, slots = _moments(slots, g, t, beta1, beta2, eps)
    return w - lr * step - lr * decay * w, slots


def lamb(w, slots, g, lr, decay, t, beta1=0.9, beta2=0.999, eps=1e-8):
    """OneFlow's: the ratio's lower norm is without weight decay."""
    step, slots = _moments(slots, g, t, beta1, beta2, eps)
    norms = np.linalg.norm(w), np.linalg.norm(step)
    ratio = norms[0] / norms[1] if all(norms) else 1.0
    return w - lr * ratio * (step + decay * w), slots


OPTIMIZERS = {"sgd": sgd, "sgdw": sgdw, "adam": adam, "adamw": adamw, "lamb": lamb}
