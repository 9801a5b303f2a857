"""The test of test_pixels.py that runs a compiled step, in a process of its own."""

import numpy as np
import oneflow as flow
from oneflow import nn

from backbones.pixels import Pixels
from tests.backbones.test_pixels import expected


def test_pixels_in_a_compiled_step():
    class Step(nn.Graph):
        def __init__(self):
            super().__init__()
            self.pixels = Pixels()

        def build(self, images, mirrored):
            return self.pixels(images, mirrored)

    images = np.random.default_rng(1).integers(0, 256, (4, 9, 8, 3), np.uint8)
    mirrored = np.array([1, 0, 0, 1], np.int8)
    where = {"placement": flow.placement("cpu", ranks=[0]), "sbp": flow.sbp.split(0)}
    got = Step()(flow.tensor(images, **where), flow.tensor(mirrored, **where))
    assert got.sbp == (flow.sbp.split(0),)
    np.testing.assert_allclose(got.to_local().numpy(), expected(images, mirrored), atol=1e-7)
