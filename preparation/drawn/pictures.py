"""Which pictures a training set of drawn faces holds, and under which labels."""

from dataclasses import dataclass

import numpy as np

_STREAM = 1 << 30  # of the wrong labels; pictures draw from streams of people's numbers, which end below


@dataclass(frozen=True)
class Pictures:
    """In the order of train.rec, which is by label: labels, who is shown, and the how-manieth picture of that person it
    is, (N,) int64 each."""

    labels: np.ndarray
    people: np.ndarray
    numbers: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """(N,) bool: the label names somebody else."""
        return self.labels != self.people


def plan_pictures(identities: int, images: int, seed: int, long_tail: float, wrong_labels: float) -> Pictures:
    """Pictures of people 0, 1, ... `identities` - 1.

    Args:
        images: of the first person.
        long_tail: the first person has so many times the pictures of the last one; between them the number falls by the
            same factor from each to the next. 1: all have as many.
        wrong_labels: this share of all pictures is under a label drawn from all others'.
    """
    counts = np.rint(images * long_tail ** -np.linspace(0, 1, identities)).astype(np.int64).clip(1)
    people = np.repeat(np.arange(identities), counts)
    numbers = np.arange(len(people)) - np.repeat(np.cumsum(counts) - counts, counts)
    labels = people.copy()
    rng = np.random.default_rng([seed, _STREAM])
    wrong = rng.permutation(len(people))[: round(wrong_labels * len(people))]
    labels[wrong] = (people[wrong] + rng.integers(1, identities, len(wrong))) % identities
    order = np.argsort(labels, kind="stable")
    return Pictures(labels[order], people[order], numbers[order])
