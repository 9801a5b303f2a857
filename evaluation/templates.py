"""From embeddings of images to one feature per template, as IJB is evaluated.

A template is all that is known of a person in one place: images and videos. The frames of a video are averaged first
(media pooling: Crosswhite et al., 2017), so that a long one does not outvote the images; then the media are summed.
"""

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evaluation.verification import unit_rows
from utils.errors import UserError

_BLOCK = 4096  # images worked on at a time


@dataclass(frozen=True)
class Setting:
    """InsightFace's test mode of IJB, such as N1D1F2.

    norm: N1 leaves an embedding its norm, by which clear faces weigh more than bad ones; N0 normalizes it first.
    detector: D1 weighs an image by the detector's score.
    flip: F0 takes the embedding of the image alone, F1 joins it and that of the mirror image end to end, F2 adds them.

    As in InsightFace's ijb_11.py and its published tables. Its other script, ijb_evals.py, calls N1 what is N0 here,
    and F1 what is F2.
    """

    norm: bool = True
    detector: bool = True
    flip: int = 2

    @classmethod
    def parse(cls, text: str) -> "Setting":
        """Raises UserError where it is not of the form N1D1F2."""
        match = re.fullmatch(r"N([01])D([01])F([012])", text.upper())
        if not match:
            raise UserError(f"the setting {text!r} is not possible; it is N0 or N1, D0 or D1, and F0, F1 or F2: N1D1F2")
        norm, detector, flip = map(int, match.groups())
        return cls(bool(norm), bool(detector), flip)

    def __str__(self) -> str:
        return f"N{self.norm:d}D{self.detector:d}F{self.flip}"


_NO_YES = (False, True)
ALL_SETTINGS = tuple(Setting(norm, detector, flip) for norm in _NO_YES for detector in _NO_YES for flip in (0, 2))


def image_features(embeddings: np.ndarray, detector_scores: np.ndarray, setting: Setting) -> np.ndarray:
    """Embeddings (n, 2, E), [:, 1] of mirror images (or (n, 1, E) for F0), and scores (n,) -> (n, E) float64.

    (n, 2 E) with F1. Raises UserError where the setting needs mirror images and there are none.
    """
    if setting.flip and embeddings.shape[1] < 2:
        raise UserError(f"{setting} needs embeddings of the mirror images, and there are none; take F0")
    both = embeddings.astype(np.float64)
    features = (both[:, 0], both.reshape(len(both), -1), both.sum(axis=1))[setting.flip]
    if not setting.norm:
        features = unit_rows(features)
    return features * detector_scores[:, None] if setting.detector else features


def template_features(
    embeddings: np.ndarray,
    detector_scores: np.ndarray,
    templates: np.ndarray,
    medias: np.ndarray,
    setting: Setting,
) -> np.ndarray:
    """Unit features of templates 0 ... T - 1, (T, E) float32, from their images; zero where these add up to nothing.

    embeddings: (N, 2, E), read by the block, so that they may be a memory-mapped file. templates: (N,), each of
    0 ... T - 1 at least once. medias: (N,); images of one template and one media are the frames of one video.
    """
    _, views, size = embeddings.shape
    features = np.empty((templates.max() + 1, views * size if setting.flip == 1 else size), np.float32)
    for first, last, images, weights in _blocks(templates, medias):
        part = image_features(embeddings[images], detector_scores[images], setting) * weights[:, None]
        pooled = unit_rows(np.add.reduceat(part, np.flatnonzero(np.diff(templates[images], prepend=-1)), axis=0))
        features[first:last] = pooled
        drop_pages(embeddings)
    return features


def template_quality(magnitudes: np.ndarray, templates: np.ndarray, medias: np.ndarray) -> np.ndarray:
    """The quality of each template, (T,) float64: the mean over its media of the mean magnitude of their images.

    magnitudes: (N,), without flip; templates and medias: as in `template_features`, where a video too counts once.
    """
    sums, media = np.zeros((2, templates.max() + 1))
    for first, last, images, weights in _blocks(templates, medias):
        own = templates[images] - first
        sums[first:last] = np.bincount(own, magnitudes[images] * weights, last - first)
        media[first:last] = np.bincount(own, weights, last - first)
    return sums / media


def drop_pages(array: np.ndarray) -> None:
    """Gives back the memory of a memory-mapped file's pages, which would otherwise add up to all of the file."""
    if isinstance(array.base, mmap.mmap):
        array.base.madvise(mmap.MADV_DONTNEED)


def _blocks(templates: np.ndarray, medias: np.ndarray) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Templates first ... last - 1 with their images, in order of templates, and each image's weight.

    The sum of means over media is a sum of images, each by 1 over the number of its media's.
    """
    order = np.lexsort((medias, templates))
    ordered = np.stack([templates[order], medias[order]])
    media_starts = np.flatnonzero(np.r_[True, (np.diff(ordered) != 0).any(axis=0)])
    frames = np.diff(media_starts, append=len(order))
    weights = np.repeat(1.0 / frames, frames)
    starts = np.searchsorted(ordered[0], np.arange(templates.max() + 2))
    first = 0
    while first + 1 < len(starts):
        # At least one template, and as many as end within the block.
        last = max(first + 1, np.searchsorted(starts, starts[first] + _BLOCK, side="right") - 1)
        images = slice(starts[first], starts[last])
        yield first, last, order[images], weights[images]
        first = last
