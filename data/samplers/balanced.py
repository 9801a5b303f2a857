"""Batches of some images each of some classes, for losses that compare the images of a batch."""

from collections.abc import Iterator

import numpy as np

from data.samplers.by_class import RecordsByClass, numbered, shares_up_to
from data.samplers.registry import register
from data.samplers.sampler import Epoch, Labels, Sampler, Sizes
from utils.errors import UserError


@register("balanced")
class Balanced(Sampler):
    """Each global batch has `images` different images each of global_batch / images different classes (Hermans et al.,
    "In Defense of the Triplet Loss", 2017), which lie side by side.

    A class with fewer images takes no part. The others are drawn in proportion to their images, but none twice in a
    batch, and go through their images in a new random order in each epoch: no image comes again before all others of
    its class have come.
    """

    def __init__(self, images: int = 4) -> None:
        if type(images) is not int or images < 1:
            raise UserError(f"images = {images!r} of balanced is not possible: it is a whole number, 1 or more")
        self._images = images

    def fault(self, sizes: Sizes, global_batch: int, together: int) -> str | None:
        images = self._images
        if together % images:
            whose = "a global batch" if together == global_batch else "a rank's micro-batch"
            return f"{whose} of {together} is not divided by images = {images}; change batch_size or images"
        wanted, there = global_batch // images, int((sizes() >= images).sum())
        if there < wanted:
            return (
                f"a global batch of {global_batch} takes {wanted} classes of at least {images} images, and the dataset "
                f"has {there}; lower batch_size"
            )
        return None

    def note(self, sizes: Sizes, global_batch: int) -> str | None:
        images, counted = self._images, sizes()
        taking_part = counted[counted >= images]
        return (
            f"Each global batch: {images} images each of {global_batch // images} classes; of {len(counted)} classes "
            f"{len(taking_part)} have {images} images or more and take part, with {taking_part.sum()} of "
            f"{counted.sum()} images"
        )

    def records(self, epoch: Epoch, labels: Labels) -> np.ndarray:
        rng, images, steps = epoch.generator(), self._images, epoch.steps
        by_class = RecordsByClass(labels(), rng)
        groups = epoch.global_batch // images  # in a batch
        classes = rng.permutation(np.flatnonzero(by_class.sizes >= images).astype(np.int32))
        counts = shares_up_to(by_class.sizes[classes], steps * groups, steps, rng)
        number = numbered(counts)  # of each group in its class
        classes = np.repeat(classes, counts)
        dealt = np.empty((steps, groups, images), np.uint32)
        places = rng.permuted(np.tile(np.arange(groups, dtype=np.int32), (steps, 1)), axis=1)
        for run, batches in enumerate(_deal(number, counts, steps, rng)):
            own = slice(run * steps, (run + 1) * steps)
            for image in range(images):
                numbers = number[own].astype(np.int64) * images + image
                dealt[batches, places[batches, run], image] = by_class.take(classes[own], numbers)
        return dealt.reshape(-1)


def _deal(number: np.ndarray, counts: np.ndarray, steps: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Groups sorted by class -> for each run of `steps` of them a permutation of the batches to put them in, so that no
    batch has a class twice. number: of each group in its class; counts: of each class, at most `steps`.

    Within a run a class cannot be twice in a batch. One that goes on in the next run is kept out of its batches there.
    """
    ends, before = np.cumsum(counts), np.empty(0, np.int64)
    for start in range(0, len(number), steps):
        batches = rng.permutation(steps)
        earlier = int(number[start])  # groups of its first class in the run before
        if earlier:
            more = int(ends[np.searchsorted(ends, start, side="right")]) - start
            first = batches[~np.isin(batches, before[-earlier:])][:more]
            batches = np.concatenate([first, batches[~np.isin(batches, first)]])
        before = batches
        yield batches
