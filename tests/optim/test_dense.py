"""Optimizers and schedules in the compiled and the eager step; the tests are those of dense_steps.py."""

from tests.own_process import run_tests


def test_dense_steps():
    run_tests("tests/optim/dense_steps.py")
