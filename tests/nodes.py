"""Two machines for tests: network namespaces of this one, joined by a cable."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.ranks import ROOT, rank_environment

PORT = "29500"  # free: nothing else is in the namespaces
TOKEN = "a-token-for-tests"


class TwoNodes:
    """Nodes 0 and 1 at 10.0.0.1 and 10.0.0.2, both with this machine's disk."""

    addresses = ("10.0.0.1", "10.0.0.2")

    def __init__(self) -> None:
        self.names = [f"faces{os.getpid()}n{node}" for node in range(2)]
        self._cables = [f"fv{os.getpid()}n{node}" for node in range(2)]
        self._started: list[subprocess.Popen] = []

    def build(self) -> None:
        for name in self.names:
            _ip("netns", "add", name)
        _ip("link", "add", self._cables[0], "type", "veth", "peer", "name", self._cables[1])
        for name, cable, address in zip(self.names, self._cables, self.addresses, strict=True):
            _ip("link", "set", cable, "netns", name)
            _ip("-n", name, "address", "add", f"{address}/24", "dev", cable)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", cable, "up")

    def cut_the_cable(self) -> None:
        _ip("-n", self.names[1], "link", "set", self._cables[1], "down")

    def run(self, node: int, program: str) -> None:
        """Runs a Python program on `node` to its end."""
        subprocess.run(["ip", "netns", "exec", self.names[node], sys.executable, "-c", program], check=True)

    def keep_running(self, node: int, script: str) -> None:
        """Runs a program on `node` until the test ends."""
        command = ["ip", "netns", "exec", self.names[node], sys.executable, script]
        self._started.append(subprocess.Popen(command, cwd=ROOT, env=rank_environment()))

    def launch(self, node: int, script: str, *arguments: str, **variables: str | None) -> subprocess.Popen:
        """Starts a launcher on `node`, with one rank unless `variables` say otherwise; None unsets one."""
        place = {"NPROC": "1", "NNODES": "2", "NODE_RANK": str(node), "MASTER_PORT": PORT, "CUDA_VISIBLE_DEVICES": ""}
        place |= {"MASTER_ADDR": self.addresses[0], "MASTER_TOKEN": TOKEN}
        environ = {key: value for key, value in (rank_environment() | place | variables).items() if value is not None}
        command = ["ip", "netns", "exec", self.names[node], sys.executable, "-m", "launch", script]
        process = subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT, env=environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._started.append(process)
        return process

    def launch_both(self, script: str, *arguments: str, **variables: str) -> list[subprocess.Popen]:
        return [self.launch(node, script, *arguments, **variables) for node in range(2)]

    def end(self) -> None:
        """Everything started, and the namespaces."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Skips the test where this machine cannot make namespaces."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need the program ip (iproute2)")
    nodes = TwoNodes()
    try:
        try:
            nodes.build()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        yield nodes
    finally:
        nodes.end()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
