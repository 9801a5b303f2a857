"""MagFace warns if its penalty is too weak for its margins."""

import warnings

import pytest

from losses import make_margin

FINE_TUNING = {"l_a": 1, "u_a": 51, "l_m": 0.45, "u_m": 1, "lambda_g": 5}


@pytest.mark.parametrize("name", ["magface", "magcosface"])
def test_the_papers_settings_are_strong_enough(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_margin(name)
        make_margin(name, **FINE_TUNING)


@pytest.mark.parametrize("name", ["magface", "magcosface"])
def test_a_weak_penalty_warns(name):
    with pytest.warns(UserWarning, match="lambda_g = 5 .* at least 2"):  # 64 k u_a^2 l_a^2 / (u_a^2 - l_a^2)
        make_margin(name, lambda_g=5)
