"""Fixtures of the tests of meetings."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from launch.rendezvous import free_port
from tests.launch.meetings import HERE, STRANGERS


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def strangers(port):
    """Starts strangers who come to the port, and keep coming until the test ends."""
    started = []

    def start(*names):
        started.append(subprocess.Popen([sys.executable, STRANGERS, HERE, str(port), *names]))

    yield start
    for process in started:
        process.kill()
        process.wait()
