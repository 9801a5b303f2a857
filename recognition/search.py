"""Who of a gallery is it? Exact search, by inner products with all its embeddings."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from recognition.gallery import Gallery

_ROWS = 4096  # of the gallery in one product
_QUERIES = 32  # whose scores are held at a time


@dataclass(frozen=True)
class Match:
    """A person of the gallery, by the image of theirs that is most alike."""

    name: str
    score: float  # cosine, in [-1, 1]
    source: str  # of that image


def nearest(gallery: Gallery, queries: np.ndarray, count: int = 2) -> list[list[Match]]:
    """The `count` people (or all, where they are fewer) most like each query, (Q, E) unit rows, the best first."""
    matches = []
    for start in range(0, len(queries), _QUERIES):
        scores = _scores(gallery.embeddings, np.ascontiguousarray(queries[start : start + _QUERIES], np.float32))
        matches += [_best(gallery, column, count) for column in scores]
    return matches


def _scores(embeddings: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(N, E) and (Q, E) -> cosines (Q, N)."""
    scores = np.empty((len(queries), len(embeddings)), np.float32)
    threads = len(os.sched_getaffinity(0))

    def multiply(thread: int) -> None:
        begin, end = (len(embeddings) * share // threads for share in (thread, thread + 1))
        for first in range(begin, end, _ROWS):
            rows = slice(first, min(first + _ROWS, end))
            scores[:, rows] = (embeddings[rows] @ queries.T).T

    # Our threads, each with a BLAS of one: few queries at a time wait for memory, and BLAS splits such products badly.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        list(pool.map(multiply, range(threads)))
    return scores


def _best(gallery: Gallery, scores: np.ndarray, count: int) -> list[Match]:
    """By the scores (N,) of all images, which it overwrites."""
    matches = []
    for _ in range(min(count, len(gallery.names))):
        image = int(scores.argmax())
        person = gallery.person_of(image)
        matches.append(Match(gallery.names[person], float(scores[image]), gallery.sources[image]))
        scores[gallery.starts[person] : gallery.starts[person + 1]] = -np.inf
    return matches
