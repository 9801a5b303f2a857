"""Where and when the ranks of a run meet."""

import random
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_PATIENCE = 60.0  # seconds
_LOWEST = 15000  # ports below are those of known services


def wait_for_first_rank(environ: Mapping[str, str]) -> None:
    """Returns when rank 0 listens at MASTER_ADDR and MASTER_PORT, at once on rank 0, and anyway after a minute.

    To be called before OneFlow is imported: a rank that comes too early there sleeps for ten seconds. Afterwards the
    ranks have met, and nobody listens any more.
    """
    alone = environ.get("RANK", "0") == "0" or not {"MASTER_ADDR", "MASTER_PORT"} <= environ.keys()
    if alone or "oneflow" in sys.modules:
        return
    address, end = (environ["MASTER_ADDR"], int(environ["MASTER_PORT"])), time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)


def free_port() -> int:
    """A port to listen at that is free now, and that the system gives to nobody who asks for any port.

    OneFlow's ranks do ask for any port: one that draws the port of rank 0 before rank 0 listens there takes its calls,
    and all wait for ever.
    """
    drawn_by_others = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = list(range(_LOWEST, drawn_by_others))
    random.shuffle(ports)
    for port in ports:
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("", port))
            return port
    with socket.socket() as listener:  # where the system gives away all of them
        listener.bind(("", 0))
        return listener.getsockname()[1]
