"""One box for each face, against the definition."""

import numpy as np

from recognition.face import Face, one_each


def face(box, score):
    return Face(np.float32(box), np.zeros((5, 2), np.float32), score, "detector")


def shared(first, second):
    """Of the smaller box, by counting a grid of points."""
    x, y = np.meshgrid(np.arange(0, 60, 0.25), np.arange(0, 60, 0.25))
    inside = [(x >= a) & (x < a + w) & (y >= b) & (y < b + h) for a, b, w, h in (first.box, second.box)]
    return (inside[0] & inside[1]).sum() / min(part.sum() for part in inside)


def test_of_boxes_that_share_more_than_half_the_best_stays():
    rng = np.random.default_rng(1)
    for _ in range(20):
        faces = [face([*rng.integers(0, 30, 2), *rng.integers(4, 25, 2)], score) for score in rng.random(12)]
        wanted = []
        for one in sorted(faces, key=lambda face: -face.score):
            if all(shared(one, other) <= 0.5 for other in wanted):
                wanted.append(one)
        assert [id(one) for one in one_each(faces)] == [id(one) for one in wanted]


def test_neighbors_stay_and_parts_of_a_face_go():
    whole, part, neighbor = face([0, 0, 40, 50], 0.9), face([10, 20, 12, 12], 0.6), face([30, 0, 40, 50], 0.8)
    assert one_each([part, neighbor, whole]) == [whole, neighbor]
    assert one_each([]) == []
