"""The training set-ups that NumPy and the compiled step both run, and their data."""

import numpy as np

IN, HIDDEN, EMBEDDING, CLASSES, BATCH, STEPS = 10, 16, 8, 23, 12, 5
ARCFACE, COSFACE, COMBINED = (1.0, 0.5, 0.0), (1.0, 0.0, 0.4), (1.0, 0.3, 0.2)
BASE = {
    "margins": ARCFACE,
    "scale": 64.0,
    "straight_through": False,
    "filtering": 0.0,
    "batch_norm": False,
    "gradient_acc": 1,
    "clip": 5.0,
    "model_parallel": True,
    "fused": False,
    "backbone_scale": 1.0,
}
CASES = {
    "arcface": {},
    "cosface": {"margins": COSFACE},
    "combined": {"margins": COMBINED},
    "sphere": {"margins": (1.35, 0.0, 0.0)},
    "straight_through": {"straight_through": True},
    "filtering": {"filtering": 0.2},
    "batch_norm": {"batch_norm": True},
    "accumulation": {"gradient_acc": 2},
    "accumulation_norm": {"gradient_acc": 2, "batch_norm": True},
    "unclipped": {"clip": 0.0},
    "replicated": {"model_parallel": False},
    "replicated_norm": {"model_parallel": False, "batch_norm": True},
    "fused": {"fused": True},
    "backbone_scale": {"backbone_scale": 0.3},
    "large_scale": {"scale": 100.0},
}
SCHEDULE = {"kind": "polynomial", "lr": 0.02, "total_steps": 8, "warmup_steps": 2, "power": 2.0}


def settings(case):
    return {**BASE, **CASES[case]}


def initial_parameters(batch_norm):
    rng = np.random.default_rng(7)
    p = {
        "backbone.0.weight": rng.normal(size=(HIDDEN, IN)) / np.sqrt(IN),
        "backbone.0.bias": rng.normal(size=HIDDEN) * 0.1,
        "backbone.2.weight": rng.normal(size=(EMBEDDING, HIDDEN)) / np.sqrt(HIDDEN),
        "backbone.2.bias": rng.normal(size=EMBEDDING) * 0.1,
        "head.weight": rng.normal(size=(CLASSES, EMBEDDING)) * 0.1,
    }
    if batch_norm:
        p["backbone.1.weight"] = 1 + rng.normal(size=HIDDEN) * 0.1
        p["backbone.1.bias"] = rng.normal(size=HIDDEN) * 0.1
    return {name: array.astype(np.float32) for name, array in p.items()}


def batches(gradient_acc):
    rng = np.random.default_rng(11)
    n = BATCH * gradient_acc
    return [
        (rng.normal(size=(n, IN)).astype(np.float32), rng.integers(0, CLASSES, n).astype(np.int64))
        for _ in range(STEPS)
    ]
