"""Meeting of ranks: later ones wait for the first, at a port that nobody else is given."""

import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from launch.rendezvous import free_port, wait_for_first_rank


def test_a_later_rank_waits_until_the_first_listens(monkeypatch):
    monkeypatch.delitem(sys.modules, "oneflow", raising=False)  # other tests of this process may have imported it
    port = free_port()
    with socket.socket() as first:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", port))
        listening = []

        def listen():
            listening.append(time.monotonic())
            first.listen()

        timer = threading.Timer(0.4, listen)
        timer.start()
        wait_for_first_rank({"RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
        assert listening and time.monotonic() >= listening[0]
        timer.join()


@pytest.mark.parametrize("environ", [{}, {"RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}, {"RANK": "1"}])
def test_who_need_not_wait(environ, monkeypatch):
    monkeypatch.setattr("launch.rendezvous.time.sleep", lambda _: pytest.fail("waits"))
    wait_for_first_rank(environ)


def test_ranks_that_have_oneflow_have_met(monkeypatch):
    monkeypatch.setitem(sys.modules, "oneflow", None)
    monkeypatch.setattr("launch.rendezvous.time.sleep", lambda _: pytest.fail("waits"))
    wait_for_first_rank({"RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"})


def test_a_free_port_is_none_that_the_system_gives_away():
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for _ in range(20):
        port = free_port()
        assert not lowest <= port <= highest
        with socket.socket() as listener:
            listener.bind(("", port))
