"""Amounts of memory, read and written."""

import os

import pytest

from planning.memory import available, held, parse_bytes, show_bytes, total
from utils.errors import UserError


@pytest.mark.parametrize(
    ("text", "count"),
    [("4GiB", 4 << 30), ("4g", 4 << 30), ("1.5 GB", 1_500_000_000), ("800MiB", 800 << 20), ("1000", 1000)],
)
def test_amounts_are_read(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "4 apples", "GiB", "-1GiB", "0", "nan", "1e3"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(UserError, match="not an amount of memory"):
        parse_bytes(text)


def test_amounts_are_shown_in_the_fitting_unit():
    assert (show_bytes(3 << 29), show_bytes(5 << 20)) == ("1.50 GiB", "5 MiB")


def test_the_kernel_is_asked():
    status = held(os.getpid())
    assert 0 < status["RssAnon"] <= status["VmRSS"] <= status["VmHWM"] and 0 < available() < total()
