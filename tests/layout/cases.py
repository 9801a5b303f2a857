"""The steps whose layout over the ranks is tested: compiled for CUDA (tests/cuda) and run on CPU (tests/engine)."""

from dataclasses import dataclass, field
from itertools import product

from heads.sampling import ClassSampler

# CLASSES and the slots of a sample are lengths that nothing else in a step has: by them a class axis is recognized.
CLASSES, RATE, IN, EMBEDDING, ROWS = 1009, 0.25, 20, 24, 6  # ROWS: of one rank in a micro-batch


@dataclass(frozen=True)
class LayoutCase:
    """A step of `ranks` ranks. head: "full" or "sampled"; formula: arguments of the head other than its defaults.

    bytes_per_logit: the most that all (B, slots) tensors of a micro-batch may take, what the step returns included and
    bool masks apart.
    """

    head: str
    ranks: int
    half: bool
    gradient_acc: int = 1
    model_parallel: bool = True
    clip: float = 5.0
    formula: dict = field(default_factory=dict)
    bytes_per_logit: int = 0

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


HEADS = ("full", "sampled")
# Four float32 tensors; under AMP two float16 ones beside them.
LIMITS = {False: 16, True: 20}
# What else a step can have, and how many more bytes a logit may take for it.
VARIANTS = {
    "cosface": (0, {"formula": {"margins": (1.0, 0.0, 0.4)}}),
    "combined": (0, {"formula": {"margins": (1.0, 0.3, 0.2)}}),
    "sphere": (0, {"formula": {"margins": (1.35, 0.0, 0.0)}}),
    "straight_through": (0, {"formula": {"gradient": "straight_through"}}),
    "unclipped": (0, {"clip": 0.0}),
    "filtering": (8, {"formula": {"filtering": 0.2}}),
    "large_scale": (4, {"formula": {"scale": 128.0}}),
    "large_scale_filtering": (12, {"formula": {"scale": 128.0, "filtering": 0.2}}),
    "replicated": (0, {"model_parallel": False}),
}


def _name(head: str, half: bool, acc: int, ranks: int) -> str:
    return f"{head}-{'fp16' if half else 'fp32'}-acc{acc}-ranks{ranks}"


_ARCFACE = {
    _name(*key): LayoutCase(key[0], key[3], key[1], key[2], bytes_per_logit=LIMITS[key[1]])
    for key in product(HEADS, (False, True), (1, 2), (1, 2))
}


def _variants(half: bool, heads: tuple[str, ...]) -> dict[str, LayoutCase]:
    return {
        f"{head}-{'fp16' if half else 'fp32'}-{name}": LayoutCase(
            head, 2, half, bytes_per_logit=LIMITS[half] + more, **changed
        )
        for head, (name, (more, changed)) in product(heads, VARIANTS.items())
    }


CUDA_CASES = _ARCFACE | _variants(True, ("full",))
CPU_CASES = {name: case for name, case in _ARCFACE.items() if not case.half} | _variants(False, ("full",))
# A sample is drawn from a rank's own classes, so a replicated head has none.
_SAMPLED_VARIANTS = {name: case for name, case in _variants(True, ("sampled",)).items() if case.model_parallel}
CUDA_CASES |= _SAMPLED_VARIANTS


def on_ranks(cases: dict[str, LayoutCase], ranks: int) -> dict[str, LayoutCase]:
    return {name: case for name, case in cases.items() if case.ranks == ranks}
