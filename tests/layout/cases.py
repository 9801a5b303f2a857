"""The steps whose layout over the ranks is tested: compiled for CUDA (tests/cuda) and run on CPU (tests/engine)."""

from dataclasses import dataclass, field
from itertools import product

from heads.sampling import ClassSampler
from losses import Margin
from tests.losses.extra_margins import margin_of

# CLASSES and the slots of a sample are lengths that nothing else in a step has: by them a class axis is recognized.
CLASSES, RATE, IN, EMBEDDING, ROWS = 1009, 0.25, 20, 24, 6  # ROWS: of one rank in a micro-batch


@dataclass(frozen=True)
class LayoutCase:
    """A step of `ranks` ranks. head: "full" or "sampled"; loss, parameters: of its margin.

    Of the (B, slots) tensors of a micro-batch, what the step returns included and bool masks apart: floats, how many of
    them may be float32; bytes_per_logit, what all of them may take.
    """

    head: str
    ranks: int
    half: bool
    gradient_acc: int = 1
    model_parallel: bool = True
    clip: float = 5.0
    loss: str = "arcface"
    parameters: dict = field(default_factory=dict)
    filtering: float = 0.0
    smoothing: float = 0.0
    centers: int = 1  # of each class
    terms: tuple[str, ...] = ()  # losses on embeddings
    teacher: int | None = None  # the length of a teacher's embeddings
    in_step: bool = False  # the teacher is a network in the step
    optimizer: str = "sgd"
    sync_batchnorm: bool = False
    floats: int = 0
    bytes_per_logit: int = 0

    def margin(self) -> Margin:
        return margin_of(self.loss, **self.parameters)

    @property
    def width(self) -> int:
        """Numbers of a class center, and of what meets it."""
        return EMBEDDING + self.margin().has_bias + len(self.margin().parameters)

    @property
    def batch_norm(self) -> bool:
        """fp16 with accumulation does not compile with BatchNorm in OneFlow 0.9.0."""
        return not self.half or self.gradient_acc == 1

    @property
    def micro_batch(self) -> int:
        """Rows of all ranks in a micro-batch: B."""
        return ROWS * self.ranks

    @property
    def batch(self) -> int:
        return self.micro_batch * self.gradient_acc

    @property
    def slots(self) -> int:
        """The length of the class axis, over all ranks."""
        return sum(self.sampler(0).counts)

    def sampler(self, rank: int) -> ClassSampler:
        """Of a rank; without model_parallel every rank holds all classes, as if it were alone."""
        rate = RATE if self.head == "sampled" else 1.0
        ranks, rank = (self.ranks, rank) if self.model_parallel else (1, 0)
        return ClassSampler(CLASSES, ranks, rank, rate, self.batch, seed=0)


HEADS, TYPES = ("full", "sampled"), {False: "fp32", True: "fp16"}
# float32 and AMP: the most float32 tensors, and bytes per logit
LIMITS = {False: {"floats": 4, "bytes_per_logit": 16}, True: {"floats": 3, "bytes_per_logit": 20}}
# What else a step can have, and how many more float32 tensors it may take for it.
VARIANTS = {
    "cosface": (0, {"loss": "cosface"}),
    "combined": (0, {"loss": "combined", "parameters": {"m2": 0.3, "m3": 0.2}}),
    "sphere": (0, {"loss": "sphereface"}),
    "straight_through": (0, {"parameters": {"gradient": "straight_through"}}),
    "unclipped": (0, {"clip": 0.0}),
    "filtering": (2, {"filtering": 0.2}),
    "large_scale": (1, {"parameters": {"s": 128.0}}),
    "large_scale_filtering": (3, {"parameters": {"s": 128.0}, "filtering": 0.2}),
    "replicated": (0, {"model_parallel": False}),
    "sgdw": (0, {"optimizer": "sgdw"}),
    "adamw": (0, {"optimizer": "adamw"}),
    "lamb": (0, {"optimizer": "lamb"}),
    "sync_batchnorm": (0, {"sync_batchnorm": True}),
    "normface": (0, {"loss": "normface"}),
    "adaface": (0, {"loss": "adaface"}),
    "adaface_acc2": (0, {"loss": "adaface", "gradient_acc": 2}),
    "adaface_replicated": (0, {"loss": "adaface", "model_parallel": False}),
    "curricularface": (9, {"loss": "curricularface"}),
    "curricularface_acc2": (9, {"loss": "curricularface", "gradient_acc": 2}),
    "curricularface_filtering": (12, {"loss": "curricularface", "filtering": 0.2}),
    "curricularface_replicated": (9, {"loss": "curricularface", "model_parallel": False}),
    "magface": (0, {"loss": "magface"}),
    "magface_not_easy": (0, {"loss": "magface", "parameters": {"easy_margin": False}}),
    "magface_replicated": (0, {"loss": "magface", "model_parallel": False}),
    "magcosface": (0, {"loss": "magcosface"}),
    "softmax": (1, {"loss": "softmax"}),
    "hard_others": (15, {"loss": "hard_others"}),
    "hard_others_acc2": (15, {"loss": "hard_others", "gradient_acc": 2}),
    "hard_others_replicated": (15, {"loss": "hard_others", "model_parallel": False}),
    "airface": (0, {"loss": "airface"}),
    "mv_am": (9, {"loss": "mv_am"}),
    "mv_arc": (9, {"loss": "mv_arc"}),
    "npcface": (15, {"loss": "npcface"}),
    "adacos": (11, {"loss": "adacos"}),
    "adacos_acc2": (11, {"loss": "adacos", "gradient_acc": 2}),
    "adacos_replicated": (11, {"loss": "adacos", "model_parallel": False}),
    "circle": (9, {"loss": "circle"}),
    "elastic_arcface": (0, {"loss": "elastic_arcface"}),
    "elastic_plus": (0, {"loss": "elastic_cosface", "parameters": {"plus": True}}),
    "elastic_plus_replicated": (
        0,
        {"loss": "elastic_arcface", "parameters": {"plus": True}, "model_parallel": False},
    ),
    "adaptiveface": (0, {"loss": "adaptiveface"}),
    "adaptiveface_replicated": (0, {"loss": "adaptiveface", "model_parallel": False}),
    "soft_neighbors": (5, {"loss": "soft_neighbors"}),
    "random_angle": (0, {"loss": "random_angle"}),
    "random_angle_replicated": (0, {"loss": "random_angle", "model_parallel": False}),
    "triplet": (0, {"terms": ("triplet",)}),
    "triplet_acc2": (0, {"terms": ("triplet",), "gradient_acc": 2}),
    "triplet_replicated": (0, {"terms": ("triplet",), "model_parallel": False}),
    "center": (0, {"terms": ("center",)}),
    "center_acc2": (0, {"terms": ("center",), "gradient_acc": 2}),
    "distillation": (0, {"terms": ("distillation",), "teacher": EMBEDDING}),
    "distillation_projected": (0, {"terms": ("distillation",), "teacher": EMBEDDING + 9}),
    "distillation_acc2": (0, {"terms": ("distillation",), "teacher": EMBEDDING + 9, "gradient_acc": 2}),
    "teacher_in_step": (0, {"terms": ("distillation",), "teacher": EMBEDDING, "in_step": True}),
    "teacher_in_step_projected": (0, {"terms": ("distillation",), "teacher": EMBEDDING + 9, "in_step": True}),
    "sub_centers": (12, {"centers": 3}),
    "sub_centers_replicated": (15, {"centers": 3, "model_parallel": False}),
    "smoothing": (3, {"smoothing": 0.1}),
    "smoothing_filtering": (5, {"smoothing": 0.1, "filtering": 0.2}),
    "smoothing_curricularface": (12, {"smoothing": 0.1, "loss": "curricularface"}),
    "smoothing_replicated": (3, {"smoothing": 0.1, "model_parallel": False}),
}


def _case(head: str, half: bool, ranks: int, more: int = 0, **changed) -> LayoutCase:
    limits = LIMITS[half]
    floats, most = limits["floats"] + more, limits["bytes_per_logit"] + 4 * more
    return LayoutCase(head, ranks, half, floats=floats, bytes_per_logit=most, **changed)


def _arcface(half: bool) -> dict[str, LayoutCase]:
    return {
        f"{head}-{TYPES[half]}-acc{acc}-ranks{ranks}": _case(head, half, ranks, gradient_acc=acc)
        for head, acc, ranks in product(HEADS, (1, 2), (1, 2))
    }


def _casts(half: bool, changed: dict) -> int:
    """Under AMP the product with the centers is float16, and a loss that looks at others takes it in float32."""
    return half and LayoutCase("full", 1, half, **changed).margin().looks_at_others


def _variants(half: bool, head: str) -> dict[str, LayoutCase]:
    cases = {
        f"{head}-{TYPES[half]}-{name}": _case(head, half, ranks=2, more=more + _casts(half, changed), **changed)
        for name, (more, changed) in VARIANTS.items()
    }
    # A sample is drawn from a rank's own classes, so a replicated head has none.
    return {name: case for name, case in cases.items() if case.model_parallel or head == "full"}


CUDA_CASES = _arcface(False) | _arcface(True) | _variants(True, "full") | _variants(True, "sampled")
CPU_CASES = _arcface(False) | _variants(False, "full")


def on_ranks(cases: dict[str, LayoutCase], ranks: int) -> dict[str, LayoutCase]:
    return {name: case for name, case in cases.items() if case.ranks == ranks}
