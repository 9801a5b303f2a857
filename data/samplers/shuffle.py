"""Every record once."""

import numpy as np

from data.samplers.registry import register
from data.samplers.sampler import Epoch, Labels, Sampler


def shuffled_records(num_records: int, seed: int, epoch: int) -> np.ndarray:
    """All records in the order of an epoch, (N,) uint32."""
    return np.random.default_rng([seed, epoch]).permutation(np.arange(num_records, dtype=np.uint32))


@register("shuffle")
class Shuffle(Sampler):
    """Fewer than one global batch of records are left out at an epoch's end."""

    def records(self, epoch: Epoch, labels: Labels) -> np.ndarray:
        return shuffled_records(epoch.num_records, epoch.seed, epoch.number)[: epoch.steps * epoch.global_batch]
