"""The loops of native/ for class centers."""

from tests.own_process import run_tests


def test_they_train_as_numpy_does():
    run_tests("tests/native/centers_in_process.py")
