"""Which samples are changed, and the random numbers they have."""

from collections.abc import Mapping

import numpy as np

from data.augment.choices import CHOICES, OPERATIONS
from utils.random_places import splitmix


class Augmenter:
    """Changes images at random.

    probabilities: of operations, by their names in `OPERATIONS`; each is decided for itself, and they are applied in
    the order of `OPERATIONS`. seed: 0 or more. Safe in several threads at once.

    Raises ValueError for a name that is none.
    """

    def __init__(self, probabilities: Mapping[str, float], seed: int) -> None:
        if unknown := probabilities.keys() - OPERATIONS.keys():
            raise ValueError(f"no such operation: {', '.join(sorted(unknown))}")
        self.seed = seed
        self._operations = [
            (place, probabilities[name], operation)
            for place, (name, operation) in enumerate(OPERATIONS.items())
            if probabilities.get(name)
        ]

    def numbers(self, epoch: int, records: np.ndarray) -> np.ndarray:
        """The random numbers of samples, (N, operations, 1 + CHOICES) float64 in [0, 1); records: (N,) whole numbers.

        Each epoch has a stream of its own and each record a place in it. An operation's numbers do not depend on which
        others are applied.
        """
        shape = (len(records), len(OPERATIONS), 1 + CHOICES)
        share = shape[1] * shape[2]
        places = records.astype(np.uint64)[:, None] * np.uint64(share) + np.arange(share, dtype=np.uint64)
        # Apart from the streams of the loader's epoch_plan
        start = np.random.SeedSequence([self.seed, epoch, 2]).generate_state(1, np.uint64)
        return splitmix(start, places).reshape(shape)

    def __call__(self, image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """`image`, (H, W, 3) uint8 RGB, or a changed one in its place; numbers: those of the sample."""
        for place, probability, operation in self._operations:
            if numbers[place, 0] < probability:
                image = operation(image, numbers[place, 1:])
        return image
