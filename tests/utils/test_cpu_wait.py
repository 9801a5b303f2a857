"""OneFlow's scheduler, made to sleep: compiled steps go on, and the process ends."""

import platform
import signal
import subprocess
import sys

import pytest

from utils.cpu_wait import _jump_slot, _loaded_library

SCRIPT = """
import oneflow as flow
from utils.cpu_wait import sleep_while_waiting

class Products(flow.nn.Graph):
    def build(self, x):
        for _ in range(12):
            x = flow.matmul(x, x) * 1e-2
        return x

x = flow.ones(100, 100)
before = Products()(x).numpy()
print(sleep_while_waiting(), sleep_while_waiting())
after = Products()
print(all((after(x + 0.0).numpy() == before).all() for _ in range(20)), before[0, 0])
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only known there")
def test_compiled_steps_go_on_and_the_process_ends():
    for _ in range(2):  # the race of steps as small as these is not ours; see tests/ranks.py
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
        if done.returncode != -signal.SIGSEGV:
            break
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["True True", "True 1.0"]


def test_a_function_that_the_library_does_not_call():
    library, start = _loaded_library("libc.so")
    assert start > 0
    with pytest.raises((LookupError, KeyError)):
        _jump_slot(library, b"no_such_function")
