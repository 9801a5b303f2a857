"""Every registered loss in float64 NumPy, written from its paper: values only, derivatives are taken by difference.

A formula takes cosine (B, 1) of the target, norm (B, 1), others (B, C), the cosines of other classes, and the state,
numbers by name; it returns what takes the place of the target's cosine (B, 1) and of the others' (B, C), and what each
row's loss has besides the softmax (B, 1).
"""

import numpy as np


def combined(cosine, norm, others, state, m1=1.0, m2=0.5, m3=0.0, gradient="exact"):
    """cos(m1 theta + m2) - m3 up to pi, then mirrored down, each turn 2 lower; or arcface_torch's, which rises again
    past pi and has m3 alone if there is one."""
    theta = np.arccos(np.clip(cosine, -1, 1))  # rounding overshoots the ends
    if gradient == "straight_through":
        return (cosine - m3 if m3 > 0 else np.cos(m1 * theta + m2)), others, 0 * norm
    angle = m1 * theta + m2
    turns = 0 * angle
    for _ in range(8):
        angle, turns = np.where(angle > np.pi, [angle - np.pi, turns + 1], [angle, turns])
    return np.cos(angle) - 2 * turns - m3, others, 0 * norm


def arcface(cosine, norm, others, state, m=0.5, gradient="exact"):
    return combined(cosine, norm, others, state, 1.0, m, 0.0, gradient)


def cosface(cosine, norm, others, state, m=0.4, gradient="exact"):
    return combined(cosine, norm, others, state, 1.0, 0.0, m, gradient)


def sphereface(cosine, norm, others, state, m=1.35, gradient="exact"):
    return combined(cosine, norm, others, state, m, 0.0, 0.0, gradient)


def adaface(cosine, norm, others, state, m=0.4, h=0.333, t_alpha=0.01):
    z = np.minimum(np.maximum(norm, 0.001), 100)
    quality = np.clip((z - state["mean"]) / (state["std"] + 0.001) * h, -1, 1)
    theta = np.arccos(np.clip(cosine, -0.999, 0.999))
    angular, additive = -m * quality, m + m * quality
    return np.cos(np.clip(theta + angular, 0.001, np.pi - 0.001)) - additive, others, 0 * norm


def adaface_state(cosine, norm, state, t_alpha=0.01, **parameters):
    z = np.clip(norm, 0.001, 100)
    seen = {"mean": z.mean(), "std": z.std(ddof=1)}
    return {name: t_alpha * seen[name] + (1 - t_alpha) * state[name] for name in seen}


def curricularface(cosine, norm, others, state, m=0.5, t_alpha=0.01):
    paid = np.cos(np.arccos(cosine) + m)
    hard = others > paid
    target = np.where(cosine > np.cos(np.pi - m), paid, cosine - m * np.sin(np.pi - m))
    return target, np.where(hard, others * (state["t"] + others), others), 0 * norm


def curricularface_state(cosine, norm, state, t_alpha=0.01, **parameters):
    return {"t": t_alpha * cosine.mean() + (1 - t_alpha) * state["t"]}


def magface_margin(norm, l_a, u_a, l_m, u_m, lambda_g):
    """The margin of a norm, and the penalty."""
    a = np.clip(norm, l_a, u_a)
    return l_m + (u_m - l_m) * (a - l_a) / (u_a - l_a), lambda_g * (a / u_a**2 + 1 / a)


def magface(cosine, norm, others, state, l_a=10, u_a=110, l_m=0.45, u_m=0.8, lambda_g=35, easy_margin=True):
    m, penalty = magface_margin(norm, l_a, u_a, l_m, u_m, lambda_g)
    paid = np.cos(np.arccos(cosine) + m)
    if easy_margin:
        return np.where(cosine > 0, paid, cosine), others, penalty
    return np.where(cosine > np.cos(np.pi - m), paid, cosine - m * np.sin(np.pi - m)), others, penalty


def magcosface(cosine, norm, others, state, l_a=10, u_a=110, l_m=0.35, u_m=0.8, lambda_g=150):
    m, penalty = magface_margin(norm, l_a, u_a, l_m, u_m, lambda_g)
    return cosine - m, others, penalty


def normface(cosine, norm, others, state):
    return cosine, others, 0 * norm


def softmax(cosine, norm, others, state, bias=True):
    return cosine, others, 0 * norm


def airface(cosine, norm, others, state, m=0.4):
    return 1 - 2 * (np.arccos(cosine) + m) / np.pi, others, 0 * norm


def mv_am(cosine, norm, others, state, m=0.35, t=1.12):
    target = np.where(cosine > m, cosine - m, cosine)
    return target, np.where(others > cosine - m, t * others + t - 1, others), 0 * norm


def mv_arc(cosine, norm, others, state, m=0.5, t=1.12):
    paid = np.cos(np.arccos(cosine) + m)
    return np.where(cosine > 0, paid, cosine), np.where(others > paid, t * others + t - 1, others), 0 * norm


def npcface(cosine, norm, others, state, m=0.5, m0=0.4, m1=0.2, t=1.1, a=0.2):
    h = state["total"] / np.maximum(state["count"], 1)
    paid = np.cos(np.arccos(cosine) + m0 + m1 * h)
    hard = others > np.cos(np.arccos(cosine) + m)
    return np.where(cosine > 0, paid, cosine), np.where(hard, t * others + a, others), 0 * norm


def adacos(cosine, norm, others, state):
    return state["s"] * cosine, state["s"] * others, 0 * norm


def adacos_statistics(cosine, others, state):
    each = np.exp(np.minimum(state["s"] * np.where(np.isinf(others), 0, others), 80))
    return {"near": np.where(np.isinf(others), 0, each).sum(axis=1, keepdims=True)}


def adacos_state(cosine, norm, state):
    if state["s"] == 0:
        return {"s": np.sqrt(2) * np.log(state["near"].mean())}
    angles = np.sort(np.arccos(cosine), axis=None)
    median = angles[len(angles) // 2]  # the lower of two cosines
    return {"s": np.log(state["near"].mean()) / np.cos(min(np.pi / 4, median))}


def circle(cosine, norm, others, state, m=0.25):
    target, reshaped = circle_slopes(cosine, others, m)
    return target * (cosine - (1 - m)), reshaped * (others - m), 0 * norm


def circle_slopes(cosine, others, m=0.25):
    return np.maximum(1 + m - cosine, 0), np.maximum(others + m, 0)


def elastic_margins(cosine, random, m, sigma, plus):
    if plus:  # the larger, the farther
        random = np.sort(random, axis=0)[np.searchsorted(np.sort(-cosine[:, 0]), -cosine[:, 0])]
    return m + sigma * random


def elastic_arcface(cosine, norm, others, state, m=0.5, sigma=0.0125, plus=False):
    return np.cos(np.arccos(cosine) + elastic_margins(cosine, state["random"], m, sigma, plus)), others, 0 * norm


def elastic_cosface(cosine, norm, others, state, m=0.35, sigma=0.0125, plus=False):
    return cosine - elastic_margins(cosine, state["random"], m, sigma, plus), others, 0 * norm


def adaptiveface(cosine, norm, others, state, m=0.4, lambda_m=70):
    margin = state["m"]
    return cosine - np.maximum(margin, 0), others, lambda_m * (1 - np.minimum(margin, 1))


def hard_others(cosine, norm, others, state, m=0.5, m0=0.4, m1=0.2, keep=0.9):
    paid = np.cos(np.arccos(cosine) + m0 + m1 * state["total"] / np.maximum(state["count"], 1))
    hard = others > np.cos(np.arccos(cosine) + m)
    return np.where(cosine > 0, paid, cosine), np.where(hard, 1.1 * others + state["hardness"], others), 0 * norm


def hard_others_statistics(cosine, others, state, m=0.5, **parameters):
    hard = others > np.cos(np.arccos(cosine) + m)
    return {"total": np.where(hard, others, 0).sum(axis=1, keepdims=True), "count": hard.sum(axis=1, keepdims=True)}


def hard_others_state(cosine, norm, state, keep=0.9, **parameters):
    seen = (state["total"] / np.maximum(state["count"], 1)).mean()
    return {"hardness": keep * state["hardness"] + (1 - keep) * seen}


def soft_neighbors(cosine, norm, others, state, m=0.2):
    return cosine - m * np.log(1 + state["near"]), others, 0 * norm


def soft_neighbors_statistics(cosine, others, state, **parameters):
    return {"near": np.exp(4 * others).sum(axis=1, keepdims=True)}


def random_angle(cosine, norm, others, state, m=0.5, sigma=0.05):
    return np.cos(np.arccos(cosine) + m + sigma * state["random"]), others, 0 * norm


FORMULAS = {
    "softmax": softmax,
    "hard_others": hard_others,
    "soft_neighbors": soft_neighbors,
    "random_angle": random_angle,
    "combined": combined,
    "arcface": arcface,
    "cosface": cosface,
    "sphereface": sphereface,
    "adaface": adaface,
    "curricularface": curricularface,
    "magface": magface,
    "magcosface": magcosface,
    "normface": normface,
    "airface": airface,
    "mv_am": mv_am,
    "mv_arc": mv_arc,
    "npcface": npcface,
    "adacos": adacos,
    "circle": circle,
    "elastic_arcface": elastic_arcface,
    "elastic_cosface": elastic_cosface,
    "adaptiveface": adaptiveface,
}
# (cosine, norm, state, parameters) -> the state after a step, for losses that have one
NEXT_STATES = {
    "adaface": adaface_state,
    "curricularface": curricularface_state,
    "hard_others": hard_others_state,
    "adacos": adacos_state,
}
NORM_WITHOUT_GRADIENT = {"adaface"}  # losses whose target depends on the norm, detached


def next_state(loss, cosine, norm, state, **parameters):
    return NEXT_STATES[loss](cosine, norm, state, **parameters) if loss in NEXT_STATES else {}


# (cosine, others with -inf for the target, state, parameters) -> sums over other classes (B, 1) by name, which formulas
# find in the state; for losses that look at them
STATISTICS = {
    "hard_others": hard_others_statistics,
    "soft_neighbors": soft_neighbors_statistics,
    "npcface": hard_others_statistics,
    "adacos": adacos_statistics,
}
# (cosine, others, parameters) -> the slopes of target and others, for losses that take a part of theirs as constant
PARTIAL_SLOPES = {"circle": circle_slopes}
RANDOM = {
    "random_angle",
    "elastic_arcface",
    "elastic_cosface",
}  # losses whose formulas find a random number of each row, (B, 1), in the state
LEARNED = {
    "adaptiveface": ["m"]
}  # names of what each class learns besides its center; formulas find the row's own, (B, 1), in the state


def statistics(loss, cosine, others, state, **parameters):
    return STATISTICS[loss](cosine, others, state, **parameters) if loss in STATISTICS else {}


def derivative(formula, x, h=1e-6):
    """By central differences; the formula works element by element."""
    return (formula(x + h) - formula(x - h)) / (2 * h)
