"""Outputs: what they compute, against NumPy, and their names."""

import numpy as np
import oneflow as flow
import pytest

from backbones.blocks import Style
from backbones.outputs import make_output
from backbones.registry import Sizes
from tests.backbones.layers import batch_norm, draw
from tests.backbones.tables import shapes
from utils.pixels import ImageShape

OUTPUTS = ("e", "gdc", "gap", "f")
SIZES = Sizes(5, ImageShape(20, 24, 3))  # 3x3 places after three halvings


def _rows_norm(x, state, name):
    return batch_norm(x[..., None, None], state, name)[..., 0, 0]


@pytest.mark.parametrize("kind", OUTPUTS)
def test_an_output_equals_numpy(kind):
    rng = np.random.default_rng(0)
    output = make_output(kind, 4, 3, SIZES, 0.0, Style())
    state = draw(output, rng)
    x = rng.normal(size=(6, 4, 3, 3))
    actual = output(flow.tensor(x)).numpy()
    if kind == "e":
        rows = batch_norm(x, state, "0").reshape(6, 36) @ state["2.weight"].T + state["2.bias"]
        wanted = _rows_norm(rows, state, "3")
    elif kind == "gdc":
        rows = _rows_norm((x * state["0.weight"][:, 0]).sum((2, 3)), state, "1")
        wanted = _rows_norm(rows @ state["3.weight"].T, state, "4")
    elif kind == "gap":
        rows = batch_norm(x, state, "0").mean((2, 3)) @ state["2.weight"].T + state["2.bias"]
        wanted = _rows_norm(rows, state, "3")
    else:
        wanted = x.reshape(6, 36) @ state["1.weight"].T + state["1.bias"]
    np.testing.assert_allclose(actual, wanted, atol=1e-6)


@pytest.mark.parametrize("pointwise", [False, True])
@pytest.mark.parametrize("kind", OUTPUTS)
def test_names_are_the_same_with_dropout(kind, pointwise):
    """A network is trained with it, and used without."""
    plain, dropping = (make_output(kind, 4, 3, SIZES, share, Style(), pointwise) for share in (0.0, 0.4))
    assert shapes(plain) == shapes(dropping)
    assert [sum(isinstance(part, flow.nn.Dropout) for part in net.modules()) for net in (plain, dropping)] == [0, 1]
