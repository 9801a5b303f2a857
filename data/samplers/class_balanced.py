"""Classes in other proportions than their images."""

import numpy as np

from data.samplers.by_class import RecordsByClass, numbered, shares
from data.samplers.registry import register
from data.samplers.sampler import Epoch, Labels, Sampler
from utils.errors import UserError


@register("class_balanced")
class ClassBalanced(Sampler):
    """A class of n images gets a share of the epoch in proportion to n^power: 0, all classes the same; 0.5, square-root
    sampling; 1, as they are (Kang et al., "Decoupling Representation and Classifier", ICLR 2020).

    Of a class with more places than images these come again when all have come; of one with fewer, others come in the
    next epochs. The order is random.
    """

    def __init__(self, power: float = 0.0) -> None:
        if not 0 <= power <= 1:
            raise UserError(f"power = {power:g} of class_balanced is not possible: it is from 0 to 1")
        self._power = power

    def records(self, epoch: Epoch, labels: Labels) -> np.ndarray:
        rng = epoch.generator()
        by_class = RecordsByClass(labels(), rng)
        classes = rng.permutation(np.flatnonzero(by_class.sizes).astype(np.int32))
        counts = shares(
            by_class.sizes[classes].astype(np.float64) ** self._power, epoch.steps * epoch.global_batch, rng
        )
        records = by_class.take(np.repeat(classes, counts), numbered(counts))
        rng.shuffle(records)
        return records
