"""The pairs a model finds hardest, and pictures of them."""

from pathlib import Path

import cv2
import numpy as np

from evaluation.pairs import Pairs
from utils.files import write_whole


def hardest_pairs(scores: np.ndarray, issame: np.ndarray, count: int) -> list[int]:
    """The `count` same pairs least alike, hardest first, and then the `count` different pairs most alike."""
    return [
        int(pair)
        for kind, order in ((issame, 1), (~issame, -1))
        for pair in np.flatnonzero(kind)[np.argsort(order * scores[kind], kind="stable")[:count]]
    ]


def write_strips(pairs: Pairs, scores: np.ndarray, count: int, folder: Path, stem: str) -> list[dict]:
    """Writes both images of the hardest `count` pairs of each kind side by side, as folder/`stem`/same-1.png and so on.

    scores: (pairs,), higher for more alike. Returns what a result says of the pairs.

    Raises UserError where an image cannot be read or a strip not written.
    """
    entries = []
    numbers = {True: 0, False: 0}
    for pair in hardest_pairs(scores, pairs.issame, count):
        same = bool(pairs.issame[pair])
        numbers[same] += 1
        strip = f"{stem}/{'same' if same else 'different'}-{numbers[same]}.png"
        images = pairs.pairs[pair].tolist()
        both = np.hstack([pairs.images.decode(image, image + 1)[0] for image in images])
        write_whole(folder / strip, cv2.imencode(".png", cv2.cvtColor(both, cv2.COLOR_RGB2BGR))[1].tobytes())
        names = [pairs.images.name(image) for image in images]
        entries.append({"same": same, "score": float(scores[pair]), "images": names, "strip": strip})
    return entries
