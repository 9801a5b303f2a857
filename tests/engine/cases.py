"""The training set-ups that NumPy and the compiled step both run, and their data."""

import numpy as np

from optim.schedules import Schedule, Span, make_curve
from tests.losses.extra_margins import margin_of
from utils.random_places import standard_normal

IN, HIDDEN, EMBEDDING, CLASSES, BATCH, STEPS, SEED = 10, 16, 8, 23, 12, 5, 17
LOGGED = (1, 4)  # steps whose accuracy is asked for
COMBINED = {"loss": "combined", "parameters": {"m2": 0.3, "m3": 0.2}}
STRAIGHT = {"parameters": {"gradient": "straight_through"}}
# The small network's embeddings have norms of 0.7 to 5, and five steps have to move the state.
ADAFACE = {"loss": "adaface", "parameters": {"h": 1.2, "t_alpha": 0.9, "s": 32.0}}
CURRICULARFACE = {"loss": "curricularface", "parameters": {"m": 1.2, "t_alpha": 0.9}}
NORMS = {"l_a": 1.7, "u_a": 2.8, "lambda_g": 120.0}
MAGFACE = {"loss": "magface", "parameters": NORMS}
MAGFACE_NOT_EASY = {"loss": "magface", "parameters": {**NORMS, "l_m": 1.0, "u_m": 1.4, "easy_margin": False}}
MAGCOSFACE = {"loss": "magcosface", "parameters": NORMS}
DECAYED = {"optimizer_parameters": {"weight_decay": 0.3}}
# Margins of tests/losses/extra_margins.py.
HARD_OTHERS = {"loss": "hard_others", "parameters": {"keep": 0.3, "m": -0.3}}
SOFT_NEIGHBORS = {"loss": "soft_neighbors", "parameters": {"s": 32.0}}
RANDOM_ANGLE = {"loss": "random_angle", "parameters": {"sigma": 0.2}}
NPCFACE = {"loss": "npcface", "parameters": {"m": 0.2}}
ADACOS = {"loss": "adacos"}
CIRCLE = {"loss": "circle", "parameters": {"gamma": 48.0}}
ADAPTIVEFACE = {"loss": "adaptiveface", "parameters": {"m": 0.05, "lambda_m": 25.0, "s": 30.0}}
# Some images of a class, for others have no positives.
TRIPLET = {"labels": "first", "terms": ((0.5, "triplet", {}),)}
TRIPLET_ALL = {"labels": "first", "terms": ((2.0, "triplet", {"alpha": 0.6, "mining": "all"}),), "weight": 0.3}
CENTER = {"terms": ((0.3, "center", {}),)}
# A teacher's embeddings, of the student's length and of another.
DISTILLED = {"terms": ((7.0, "distillation", {}),), "teacher": EMBEDDING}
PROJECTED = {"terms": ((7.0, "distillation", {}),), "teacher": 5}
# "rate": of sampling; "labels" may say that they are all one class, or all of the first classes.
BASE = {
    "classes": CLASSES, "rate": 1.0, "labels": "any", "store": "host", "dtype": "float32", "prefetch": False,
    "loss": "arcface", "parameters": {}, "filtering": 0.0, "half": False, "loss_scale": False,
    "batch_norm": False, "sync_batchnorm": False, "gradient_acc": 1, "clip": 5.0, "model_parallel": True,
    "centers": 1, "smoothing": 0.0, "weight": 1.0, "terms": (), "teacher": None,
    "optimizer": "sgd", "optimizer_parameters": {}, "head_optimizer": None,
    "multipliers": {}, "frozen": (), "decays_vectors": True,
}  # fmt: skip
FULL_CASES = {
    "arcface": {},
    "cosface": {"loss": "cosface"},
    "combined": COMBINED,
    "sphere": {"loss": "sphereface"},
    "straight_through": STRAIGHT,
    "straight_through_combined": {
        "loss": "combined",
        "parameters": {"m2": 0.3, "m3": 0.2, "gradient": "straight_through"},
    },
    "filtering": {"filtering": 0.2},
    "batch_norm": {"batch_norm": True},
    "synchronized_norm": {"batch_norm": True, "sync_batchnorm": True},
    "synchronized_norm_all": {
        "batch_norm": True, "sync_batchnorm": True, "gradient_acc": 2, "half": True, "clip": 0.5,
        "model_parallel": False, "loss_scale": True,
    },
    "accumulation": {"gradient_acc": 2},
    "accumulation_norm": {"gradient_acc": 2, "batch_norm": True},
    "unclipped": {"clip": 0.0},
    "replicated": {"model_parallel": False},
    "replicated_norm": {"model_parallel": False, "batch_norm": True},
    "replicated_all": {
        "model_parallel": False,
        "gradient_acc": 2,
        "filtering": 0.2,
        "parameters": {"s": 100.0},
        "half": True,
    },
    "backbone_scale": {"multipliers": {"backbone.*": 0.3}},
    "slow_norms": {"multipliers": {"backbone.1.*": 0.1, "backbone.*": 0.5, "head.weight": 2.0}, "batch_norm": True},
    "undecayed_vectors": {"decays_vectors": False, "batch_norm": True, "optimizer_parameters": {"weight_decay": 0.5}},
    "frozen_part": {"frozen": ("backbone.0.*",), "gradient_acc": 2, "clip": 0.5},
    "frozen_backbone": {"frozen": ("backbone.*",)},
    "frozen_centers": {"frozen": ("head.*",)},
    "no_momentum": {"optimizer_parameters": {"momentum": 0.0}},
    "sgdw": {"optimizer": "sgdw", **DECAYED},
    "adam": {"optimizer": "adam", **DECAYED},
    "adamw": {"optimizer": "adamw", "gradient_acc": 2, **DECAYED},
    "adamw_parts": {"optimizer": "adamw", "multipliers": {"backbone.2.*": 0.1}, "decays_vectors": False, **DECAYED},
    "adamw_device": {"optimizer": "adamw", "store": "device", **DECAYED},
    "lamb": {"optimizer": "lamb", "head_optimizer": "adamw", **DECAYED},
    "scale_32": {"parameters": {"s": 32.0}},
    "scale_128": {"parameters": {"s": 128.0}},
    "half": {"half": True, "gradient_acc": 2},
    "loss_scale": {"half": True, "loss_scale": True},
    "device": {"store": "device"},
    "mmap": {"store": "mmap", "prefetch": True},
    "normface": {"loss": "normface"},
    "softmax": {"loss": "softmax"},
    "softmax_plain": {"loss": "softmax", "parameters": {"bias": False}, "smoothing": 0.2},
    "softmax_replicated": {"loss": "softmax", "model_parallel": False, "gradient_acc": 2, "store": "device"},
    "softmax_half": {"loss": "softmax", "half": True, "gradient_acc": 2},
    "smoothing": {"smoothing": 0.1},
    "smoothing_all": {"smoothing": 0.3, "half": True, "gradient_acc": 2, **CURRICULARFACE, "filtering": 0.5},
    "smoothing_magface": {"smoothing": 0.3, "parameters": {**NORMS, "s": 32.0}, "loss": "magface"},
    "smoothing_replicated": {"smoothing": 0.1, "model_parallel": False, "filtering": 0.2},
    "sub_centers": {"centers": 3},
    "sub_centers_half": {"centers": 3, "half": True, "gradient_acc": 2, "smoothing": 0.1, **CURRICULARFACE},
    "sub_centers_replicated": {"centers": 3, "model_parallel": False, "gradient_acc": 2},
    "sub_centers_device": {"centers": 2, "store": "device", "filtering": 0.2},
    "sub_centers_softmax": {"centers": 2, "loss": "softmax"},
    "adaface": ADAFACE,
    "adaface_accumulation": {"gradient_acc": 2, **ADAFACE},
    "adaface_replicated": {"model_parallel": False, **ADAFACE},
    "curricularface": CURRICULARFACE,
    "curricularface_accumulation": {"gradient_acc": 2, "filtering": 0.5, "half": True, **CURRICULARFACE},
    "curricularface_replicated": {"model_parallel": False, "half": True, **CURRICULARFACE},
    "magface": MAGFACE,
    "magface_accumulation": {"gradient_acc": 2, "half": True, **MAGFACE},
    "magface_replicated": {"model_parallel": False, **MAGFACE},
    "magface_not_easy": MAGFACE_NOT_EASY,
    "magcosface": MAGCOSFACE,
    "airface": {"loss": "airface"},
    "mv_am": {"loss": "mv_am", "parameters": {"m": 0.1, "t": 1.3}},
    "mv_arc": {"loss": "mv_arc", "gradient_acc": 2},
    "npcface": NPCFACE,
    "npcface_replicated": {"model_parallel": False, "half": True, **NPCFACE},
    "adacos": ADACOS,
    "adacos_accumulation": {"gradient_acc": 2, "half": True, **ADACOS},
    "adacos_replicated": {"model_parallel": False, **ADACOS},
    "circle": CIRCLE,
    "circle_smoothed": {"gradient_acc": 2, "half": True, "smoothing": 0.1, **CIRCLE},
    "elastic_arcface": {"loss": "elastic_arcface", "parameters": {"sigma": 0.2}},
    "elastic_arcface_plus": {"loss": "elastic_arcface", "parameters": {"sigma": 0.2, "plus": True}, "gradient_acc": 2},
    "elastic_cosface_plus": {
        "loss": "elastic_cosface",
        "parameters": {"sigma": 0.2, "plus": True},
        "model_parallel": False,
    },
    "adaptiveface": ADAPTIVEFACE,
    "adaptiveface_half": {"gradient_acc": 2, "half": True, "store": "device", **ADAPTIVEFACE},
    "adaptiveface_replicated": {"model_parallel": False, "centers": 2, "half": True, **ADAPTIVEFACE},
    "adaptiveface_centers": {
        "centers": 3,
        "weight": 0.5,
        "store": "device",
        "optimizer": "adamw",
        **DECAYED,
        **ADAPTIVEFACE,
    },
    "hard_others": HARD_OTHERS,
    "hard_others_accumulation": {"gradient_acc": 2, "filtering": 0.5, "half": True, **HARD_OTHERS},
    "hard_others_replicated": {"model_parallel": False, "centers": 2, **HARD_OTHERS},
    "soft_neighbors": SOFT_NEIGHBORS,
    "soft_neighbors_replicated": {"model_parallel": False, "filtering": 0.2, "half": True, **SOFT_NEIGHBORS},
    "weighted": {"weight": 0.3},
    "weighted_half": {"weight": 0.3, "half": True, "gradient_acc": 2, **MAGFACE},
    "weighted_replicated": {"weight": 3.0, "half": True, "model_parallel": False},
    "triplet": TRIPLET,
    "triplet_all": TRIPLET_ALL,
    "triplet_accumulation": {"gradient_acc": 2, "batch_norm": True, **TRIPLET},
    "triplet_loss_scale": {"half": True, "loss_scale": True, **TRIPLET_ALL},
    "triplet_replicated": {"model_parallel": False, **TRIPLET, **RANDOM_ANGLE},
    "triplet_frozen": {"frozen": ("backbone.*",), **TRIPLET},
    "distillation": DISTILLED,
    "distillation_triplet": {
        "batch_norm": True, **TRIPLET, **DISTILLED, "terms": (*DISTILLED["terms"], *TRIPLET["terms"]),
    },
    "distillation_projected": PROJECTED,
    "distillation_projected_all": {
        "gradient_acc": 2, "clip": 0.5, "optimizer": "adamw", "multipliers": {"projection.*": 0.5},
        **PROJECTED, **DECAYED,
    },
    "distillation_projected_frozen": {**PROJECTED, "frozen": ("backbone.*",)},
    "distillation_replicated": {**PROJECTED, "model_parallel": False},
    "distillation_loss_scale": {**PROJECTED, "half": True, "loss_scale": True},
    "center": CENTER,
    "center_accumulation": {"gradient_acc": 2, "batch_norm": True, "terms": ((1.5, "center", {"alpha": 0.9}),)},
    "center_triplet": {
        "model_parallel": False,
        "half": True,
        **TRIPLET,
        "terms": (*CENTER["terms"], *TRIPLET["terms"]),
    },
    "random_angle": RANDOM_ANGLE,
    "random_angle_accumulation": {"gradient_acc": 2, **RANDOM_ANGLE},
    "random_angle_replicated": {"model_parallel": False, "gradient_acc": 2, **RANDOM_ANGLE},
}  # fmt: skip
SAMPLED_CASES = {
    **{f"{c}_{rate}": {"classes": c, "rate": rate} for c, rate in ((21, 0.1), (1001, 0.5), (1001, 0.1))},
    "more_positives": {"classes": 1001, "rate": 0.001},
    "all_the_same": {"classes": 101, "rate": 0.1, "labels": "same"},
    "rank_without_positive": {"classes": 101, "rate": 0.2, "labels": "first"},
    "sampled_combined": {"classes": 101, "rate": 0.3, **COMBINED},
    "sampled_straight_through": {"classes": 101, "rate": 0.3, **STRAIGHT},
    "sampled_large_scale": {"classes": 101, "rate": 0.3, "parameters": {"s": 100.0}, "filtering": 0.2},
    "sampled_scale_128": {"classes": 101, "rate": 0.3, "parameters": {"s": 128.0}},
    "sampled_batch_norm": {"classes": 101, "rate": 0.3, "batch_norm": True},
    "sampled_accumulation": {"classes": 101, "rate": 0.3, "gradient_acc": 2},
    "sampled_half": {"classes": 101, "rate": 0.3, "half": True, "gradient_acc": 2},
    "sampled_loss_scale": {"classes": 101, "rate": 0.3, "half": True, "loss_scale": True},
    "almost_all": {"classes": 101, "rate": 0.98, "store": "mmap", "prefetch": True},
    "prefetch": {"classes": 101, "rate": 0.5, "prefetch": True},
    "sampled_mmap": {"classes": 101, "rate": 0.3, "store": "mmap", "prefetch": True},
    "sampled_device": {"classes": 101, "rate": 0.3, "store": "device", "gradient_acc": 2},
    "sampled_device_filtering": {"classes": 101, "rate": 0.3, "store": "device", "filtering": 0.2},
    "sampled_sgdw": {"classes": 101, "rate": 0.3, "optimizer": "sgdw", **DECAYED},
    "sampled_adamw": {"classes": 101, "rate": 0.3, "optimizer": "adamw", "store": "mmap", "prefetch": True, **DECAYED},
    "sampled_adam_device": {"classes": 101, "rate": 0.3, "optimizer": "adam", "store": "device", **DECAYED},
    "sampled_softmax": {"classes": 101, "rate": 0.3, "loss": "softmax", "store": "mmap", "prefetch": True},
    "sampled_smoothing": {"classes": 101, "rate": 0.3, "smoothing": 0.2, "gradient_acc": 2},
    "sampled_sub_centers": {"classes": 101, "rate": 0.3, "centers": 3, "store": "mmap", "prefetch": True},
    "sampled_normface": {"classes": 101, "rate": 0.3, "loss": "normface"},
    "sampled_adaface": {"classes": 101, "rate": 0.3, **ADAFACE},
    "sampled_curricularface": {"classes": 101, "rate": 0.3, **CURRICULARFACE},
    "sampled_magface": {"classes": 101, "rate": 0.3, **MAGFACE},
    "sampled_npcface": {"classes": 101, "rate": 0.3, **NPCFACE},
    "sampled_adacos": {"classes": 101, "rate": 0.3, **ADACOS},
    "sampled_circle": {"classes": 101, "rate": 0.3, **CIRCLE},
    "sampled_elastic": {"classes": 101, "rate": 0.3, "loss": "elastic_cosface", "parameters": {"sigma": 0.2}},
    "sampled_adaptiveface": {
        "classes": 101,
        "rate": 0.3,
        "store": "mmap",
        "prefetch": True,
        **ADAPTIVEFACE,
    },
    "sampled_triplet": {"classes": 101, "rate": 0.3, **TRIPLET_ALL, "labels": "any"},
    "sampled_distillation": {"classes": 101, "rate": 0.3, **PROJECTED},
    "sampled_center": {"classes": 101, "rate": 0.3, **CENTER},
    "sampled_hard_others": {"classes": 101, "rate": 0.3, **HARD_OTHERS},
    "sampled_random_angle": {"classes": 101, "rate": 0.3, "prefetch": True, **RANDOM_ANGLE},
}
CASES = FULL_CASES | SAMPLED_CASES
# A formula is tried on two ranks, where a class's center may be another rank's; one and three are for how classes and
# batches are shared.
SHARED_CASES = [
    "center_accumulation", "center_triplet", "sampled_center",
    "arcface", "batch_norm", "accumulation_norm", "synchronized_norm", "synchronized_norm_all",
    "replicated", "replicated_norm", "replicated_all", "scale_32",
    "scale_128", "device", "1001_0.5", "1001_0.1", "more_positives", "all_the_same", "rank_without_positive",
    "sampled_accumulation", "sampled_mmap", "adaface", "curricularface", "magface", "frozen_part", "frozen_centers",
    "adamw", "sampled_adamw", "softmax", "smoothing", "sub_centers", "sub_centers_replicated", "sampled_softmax",
    "sampled_smoothing", "sampled_sub_centers", "hard_others", "random_angle_accumulation", "random_angle_replicated",
    "sampled_random_angle", "triplet", "triplet_all", "triplet_accumulation", "triplet_replicated", "sampled_triplet",
    "npcface", "adacos_accumulation", "elastic_arcface_plus", "elastic_cosface_plus", "adaptiveface",
    "adaptiveface_replicated", "sampled_adaptiveface",
    "distillation", "distillation_projected", "distillation_projected_all",
]  # fmt: skip


def cases_on(mode, ranks):
    """Only the compiled step has a loss scale: eager cases of that alone would be those without one again."""
    cases = list(CASES) if ranks == 2 else SHARED_CASES
    return [case for case in cases if mode == "graph" or not case.endswith("loss_scale")]


SCHEDULE = Schedule(make_curve("polynomial", power=2.0), Span(lr=0.02, steps=8, warmup=2))


def settings(case):
    return {**BASE, **CASES[case]}


def center_shape(wanted):
    """Of a class: (width,) or (centers, width)."""
    margin = margin_of(wanted["loss"], **wanted["parameters"])
    width = EMBEDDING + margin.has_bias + len(margin.parameters)
    return (wanted["centers"], width) if wanted["centers"] > 1 else (width,)


def initial_parameters(batch_norm, classes=CLASSES, shape=(EMBEDDING,), teacher=None):
    rng = np.random.default_rng(7)
    p = {
        "backbone.0.weight": rng.normal(size=(HIDDEN, IN)) / np.sqrt(IN),
        "backbone.0.bias": rng.normal(size=HIDDEN) * 0.1,
        "backbone.2.weight": rng.normal(size=(EMBEDDING, HIDDEN)) / np.sqrt(HIDDEN),
        "backbone.2.bias": rng.normal(size=EMBEDDING) * 0.1,
        "head.weight": rng.normal(size=(classes, *shape)) * 0.1,
    }
    if batch_norm:
        p["backbone.1.weight"] = 1 + rng.normal(size=HIDDEN) * 0.1
        p["backbone.1.bias"] = rng.normal(size=HIDDEN) * 0.1
    if teacher not in (None, EMBEDDING):
        p["projection.weight"] = rng.normal(size=(teacher, EMBEDDING)) / np.sqrt(EMBEDDING)
    return {name: array.astype(np.float32) for name, array in p.items()}


def batches(gradient_acc, classes=CLASSES, labels="any"):
    """Images, labels and records of each step."""
    rng = np.random.default_rng(11)
    n = BATCH * gradient_acc
    below = {"any": classes, "same": 1, "first": classes // 4}[labels]
    given = [
        (rng.normal(size=(n, IN)).astype(np.float32), rng.integers(0, below, n).astype(np.int64)) for _ in range(STEPS)
    ]
    return [(*batch, np.random.default_rng([n, step]).permutation(1000)[:n]) for step, batch in enumerate(given)]


def teacher_rows(given, size):
    """Of each step, (n, size), or None without a teacher."""
    return [
        None if size is None else np.random.default_rng([29, step]).normal(size=(len(labels), size)).astype(np.float32)
        for step, (_, labels, _) in enumerate(given)
    ]


def random_numbers(given):
    """Of each step, (n, 1), as the step draws them for its records."""
    return [standard_normal([SEED, step], records)[:, None] for step, (*_, records) in enumerate(given)]
