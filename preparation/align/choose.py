"""Which face of a photograph is the person's, and whether it is good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preparation.align.photos import Unusable
from recognition.face import Face

CANDIDATE = 0.3  # score from which on a face is looked at, so that the report can say how far others were off
_DISTANCE = 2.0


@dataclass(frozen=True)
class Bounds:
    """What a face must have. min_size: pixels of its box's shorter side; min_score: of a detector that has scores;
    single: a photograph with another face that passes is left out."""

    min_size: float = 40
    min_score: float = 0.5
    single: bool = False


def choose(faces: Sequence[Face], height: int, width: int, bounds: Bounds) -> Face:
    """The largest and most central face that passes.

    Of those it is the one with the largest area - 2 d^2, where d is the distance of its box's center from the
    photograph's, as InsightFace and FaceNet choose when they align. Raises Unusable.
    """
    if not faces:
        raise Unusable("no face")
    sure = [face for face in faces if face.score is None or face.score >= bounds.min_score]
    if not sure:
        best = max(face.score for face in faces if face.score is not None)
        raise Unusable(f"score {best:.2f} is below {bounds.min_score:g}")
    passing = [face for face in sure if min(face.box[2:]) >= bounds.min_size]
    if not passing:
        size = max(min(face.box[2:].tolist()) for face in sure)
        raise Unusable(f"size {size:.0f} is below {bounds.min_size:g} pixels")
    if bounds.single and len(passing) > 1:
        raise Unusable(f"{len(passing)} faces")
    middle = np.array([width, height]) / 2

    def merit(face: Face) -> float:
        away = face.box[:2] + face.box[2:] / 2 - middle
        return float(face.box[2] * face.box[3] - _DISTANCE * (away @ away))

    return max(passing, key=merit)
