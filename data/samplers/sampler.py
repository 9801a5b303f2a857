"""What a sampler is: which records each global batch of an epoch takes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Sizes = Callable[[], np.ndarray]  # the images of each class, (C,) int64, counted when asked for
Labels = Callable[[], np.ndarray]  # the class of each record, (N,) int32, read when asked for
_STREAM = 3  # apart from those of the loader's mirroring and of data/augment


@dataclass(frozen=True)
class Epoch:
    """What an epoch's records depend on, and nothing else: not on ranks, nor on the epochs before it."""

    seed: int
    number: int
    num_records: int
    steps: int
    global_batch: int

    def generator(self) -> np.random.Generator:
        """The same random numbers each time."""
        return np.random.default_rng([self.seed, self.number, _STREAM])


class Sampler:
    """Stateless: any batch of any epoch follows from `Epoch`, so that a run is taken up anywhere, on any ranks."""

    name: str  # set by `register`

    def fault(self, sizes: Sizes, global_batch: int, together: int) -> str | None:
        """Why it cannot make batches of `global_batch` images, or None.

        together: images that follow each other in one micro-batch.
        """
        return None

    def note(self, sizes: Sizes, global_batch: int) -> str | None:
        """What a user should know of its choice, or None."""
        return None

    def records(self, epoch: Epoch, labels: Labels) -> np.ndarray:
        """The records of all batches one after the other, (steps * global_batch,) uint32."""
        raise NotImplementedError
