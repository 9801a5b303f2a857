"""Which face is taken, by the rule as it is stated."""

import numpy as np
import pytest

from preparation.align.choose import Bounds, choose
from preparation.align.photos import Unusable
from recognition.face import Face


def face(left, top, side, score=0.9):
    return Face(np.float32([left, top, side, side]), np.zeros((5, 2), np.float32), score, "detector")


def test_large_beats_central_and_central_beats_a_little_larger():
    central, corner = face(450, 350, 100), face(0, 0, 110)
    assert choose([corner, central], 800, 1000, Bounds()) is central
    assert choose([face(0, 0, 800), central], 800, 1000, Bounds()).box[2] == 800


def test_the_rule_on_random_faces():
    rng = np.random.default_rng(3)
    for _ in range(50):
        faces = [face(*rng.integers(0, 900, 2), side) for side in rng.integers(50, 400, 5)]

        def merit(one):
            left, top, side, _ = one.box.astype(float)
            return side**2 - 2 * ((left + side / 2 - 500) ** 2 + (top + side / 2 - 400) ** 2)

        assert choose(faces, 800, 1000, Bounds()) is max(faces, key=merit)


def test_what_does_not_pass_is_not_chosen():
    sure, vague, small = face(0, 0, 90), face(400, 300, 200, 0.4), face(480, 390, 30)
    assert choose([vague, small, sure], 800, 1000, Bounds()) is sure
    for faces, bounds, reason in (
        ([], Bounds(), "no face"),
        ([vague], Bounds(), r"score 0\.40 is below 0\.5"),
        ([small, vague], Bounds(), "size 30 is below 40 pixels"),
        ([sure, face(300, 300, 60), small], Bounds(single=True), "2 faces"),
    ):
        with pytest.raises(Unusable, match=reason):
            choose(faces, 800, 1000, bounds)


def test_a_detector_without_scores_passes():
    assert choose([face(0, 0, 50, None)], 100, 100, Bounds()).score is None
