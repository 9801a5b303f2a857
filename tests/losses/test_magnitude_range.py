"""The range and the penalty that fine-tuning with MagFace is given."""

import numpy as np
import pytest

from losses import make_margin
from losses.magnitude_range import MagFaceRange, propose_range
from utils.config.grammar import parse_call
from utils.errors import UserError


@pytest.mark.parametrize(("name", "l_m", "s"), [("magface", 0.45, 64), ("magcosface", 0.35, 32)])
def test_the_proposed_range_satisfies_the_loss(name, l_m, s):
    actual = propose_range(np.array([9.012, 17.3, 31.12]), l_m, 0.8, s)
    assert (actual.l_a, actual.u_a) == (8.1, 35)
    for factor, advised in ((1.001, False), (0.999, True)):  # losses/magface.py says so when lambda_g is too small
        called, parameters = parse_call(actual.loss(name, 0))
        parameters["lambda_g"] = actual.least_lambda * factor
        assert bool(make_margin(called, **parameters).advice) == advised
    called, parameters = parse_call(actual.loss(name, actual.proposed_lambda))
    assert called == name and not make_margin(called, **parameters).advice


@pytest.mark.parametrize(
    ("magnitudes", "expected"),
    [((120.0, 456.0), (100, 510)), ((0.0123, 0.97), (0.011, 1.1)), ((1.0, 1.0), (0.9, 1.1)), ((11.2, 90.8), (10, 100))],
)
def test_ranges_end_outside_all_magnitudes(magnitudes, expected):
    actual = propose_range(np.array(magnitudes), 0.45, 0.8, 64)
    assert (actual.l_a, actual.u_a) == pytest.approx(expected)


def test_the_papers_ranges_have_their_bounds():
    # s k u^2 l^2 / (u^2 - l^2): by hand for the paper's 10 ... 110 and lambda 35
    assert MagFaceRange(10, 110, 0.45, 0.8, 64).least_lambda == pytest.approx(64 * 0.0035 * 12100 * 100 / 12000)


def test_impossible_ranges_are_refused():
    for norms, l_m, u_m, s in (([0, 1], 0.4, 0.8, 64), ([1, 2], 0.8, 0.4, 64), ([1, 2], 0.4, 0.8, 0)):
        with pytest.raises(UserError):
            propose_range(np.array(norms, float), l_m, u_m, s)
