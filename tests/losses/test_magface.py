"""MagFace has advice if its penalty is too weak for its margins, and refuses norms that are no range."""

import re

import pytest

from losses import make_margin
from utils.errors import UserError

FINE_TUNING = {"l_a": 1, "u_a": 51, "l_m": 0.45, "u_m": 1, "lambda_g": 5}
EACH_FORM = pytest.mark.parametrize("name", ["magface", "magcosface"])


@EACH_FORM
def test_the_papers_settings_are_strong_enough(name):
    assert make_margin(name).advice is None
    assert make_margin(name, **FINE_TUNING).advice is None


@EACH_FORM
def test_a_weak_penalty_gets_advice(name):
    advice = make_margin(name, lambda_g=5).advice
    assert re.search("lambda_g = 5 .* at least 2", advice)  # 64 k u_a^2 l_a^2 / (u_a^2 - l_a^2)


@EACH_FORM
@pytest.mark.parametrize("norms", [{"l_a": 0}, {"l_a": 60, "u_a": 50}])
def test_norms_that_are_no_range_are_refused(name, norms):
    with pytest.raises(UserError, match="0 < l_a < u_a"):
        make_margin(name, **norms)
