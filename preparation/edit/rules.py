"""Which records of a set a smaller one holds: by identities, images per identity, share, and lists of what to drop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from utils.errors import UserError


@dataclass(frozen=True)
class Rules:
    """What is kept; each rule sees what those before it left.

    Attributes:
        drop: (n,) records that go, whoever they show.
        identities: (n,) labels that stay; None: all.
        fraction: the share of the images that stays, drawn evenly from all of them, in (0, 1].
        min_images: identities with fewer go.
        num_identities: so many stay, drawn evenly from all that have images; None: all.
        max_images: an identity with more keeps so many, drawn evenly; None: all.
        seed: decides what is drawn.
    """

    drop: np.ndarray | None = None
    identities: np.ndarray | None = None
    fraction: float = 1.0
    min_images: int = 1
    num_identities: int | None = None
    max_images: int | None = None
    seed: int = 2048

    def check(self) -> None:
        """Raise UserError for values that cannot be."""
        if not 0 < self.fraction <= 1:
            raise UserError(f"--fraction {self.fraction} is not possible: it must be above 0 and at most 1.")
        for name in ("min_images", "num_identities", "max_images"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        if self.max_images is not None and self.max_images < self.min_images:
            raise UserError(f"--max_images {self.max_images} is less than --min_images {self.min_images}.")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed} is not possible: it must be 0 or more.")


def select(labels: np.ndarray, num_classes: int, rules: Rules) -> np.ndarray:
    """The records that the rules keep, rising, (n,) int64.

    Args:
        labels: (N,) int32 in [0, num_classes), of every record.

    Raises:
        UserError: a rule cannot be followed.
    """
    rules.check()
    keep = np.ones(len(labels), bool)
    if rules.drop is not None:
        _refuse_beyond(rules.drop, len(labels), "record")
        keep[rules.drop] = False
    if rules.identities is not None:
        _refuse_beyond(rules.identities, num_classes, "identity")
        keep &= _mask(rules.identities, num_classes)[labels]
    # A generator for each rule, so that one rule's value does not change what another draws.
    for_images, for_identities, for_share = (np.random.default_rng([rules.seed, rule]) for rule in range(3))
    if rules.fraction < 1:
        left = np.flatnonzero(keep)
        gone = len(left) - round(rules.fraction * len(left))
        keep[for_share.choice(left, gone, replace=False, shuffle=False)] = False
    counts = np.bincount(labels[keep], minlength=num_classes)
    stay = counts >= rules.min_images
    if rules.num_identities is not None:
        able = np.flatnonzero(stay)
        if rules.num_identities > len(able):
            raise UserError(f"--num_identities {rules.num_identities} is more than the {len(able)} that are left.")
        stay = _mask(for_identities.choice(able, rules.num_identities, replace=False), num_classes)
    keep &= stay[labels]
    if rules.max_images is not None:
        many = np.flatnonzero(keep & (counts > rules.max_images)[labels])
        keep[_beyond(for_images.permutation(many), labels, rules.max_images)] = False
    return np.flatnonzero(keep)


def hold_out(labels: np.ndarray, num_classes: int, number: int, seed: int) -> np.ndarray:
    """Which records, (N,) bool, belong to `number` identities drawn evenly from those with at least two images.

    An identity with a single image is nobody to verify: no pair shows it twice.

    Raises:
        UserError: there are not more such identities than that.
    """
    counts = np.bincount(labels, minlength=num_classes)
    able = np.flatnonzero(counts > 1)
    if not 1 <= number <= len(able) or number == np.count_nonzero(counts):
        raise UserError(
            f"--hold_out {number} is not possible: {len(able)} of {np.count_nonzero(counts)} identities have two or "
            "more images, and somebody must be left to train on."
        )
    held = np.random.default_rng([seed, 3]).choice(able, number, replace=False)
    return _mask(held, num_classes)[labels]


def _mask(numbers: np.ndarray, size: int) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[numbers] = True
    return mask


def _beyond(records: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    """Those of `records` that come after the first `most` of their label."""
    grouped = records[np.argsort(labels[records], kind="stable")]
    group = labels[grouped]
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    place = np.arange(len(group)) - np.repeat(starts, np.diff(np.r_[starts, len(group)]))
    return grouped[place >= most]


def _refuse_beyond(numbers: np.ndarray, end: int, what: str) -> None:
    bad = numbers[(numbers < 0) | (numbers >= end)]
    if len(bad):
        raise UserError(f"There is no {what} {bad[0]} in the set: they are numbered 0 to {end - 1}.")
