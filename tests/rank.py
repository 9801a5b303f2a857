"""Runs a program as a rank of a test: python tests/rank.py PROGRAM [arguments].

Ranks meet at MASTER_PORT while they import OneFlow. One that comes before rank 0 listens there sleeps for ten seconds
before it tries again, which is most of the time that a small run takes; here it comes when rank 0 does listen.
"""

import os
import runpy
import socket
import sys
import time

PATIENCE = 60.0


def wait_for_rank_0() -> None:
    address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)


if __name__ == "__main__":
    if os.environ["RANK"] != "0":
        wait_for_rank_0()
    del sys.argv[0]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))  # as where it is started itself
    runpy.run_path(sys.argv[0], run_name="__main__")
