"""What the tests of meetings share."""

import socket
import time
from contextlib import suppress
from pathlib import Path

from launch.meeting import gather, join
from launch.nodes import NodeSpec
from launch.token import stretch
from launch.wire import Wire

STRANGERS = Path(__file__).with_name("strangers.py")
TOKEN, OTHER_TOKEN = b"the-token-of-tests", b"another-token-of-tests"
FIRST, SECOND = NodeSpec(0, 2, 1), NodeSpec(1, 2, 1)
HERE = "127.0.0.1"


def meet(pool, port, first=FIRST, second=SECOND, token=TOKEN):
    """Both ends, once they have met."""
    ends = pool.submit(gather, first, port, token), pool.submit(join, second, HERE, port, token)
    (nodes, rank_port), (others, other_port) = (end.result(timeout=50) for end in ends)
    assert other_port == rank_port
    return nodes, others


def enter(port, message, secret=None):
    """The connection of one who has the token, or another secret, and says `message`, and what node 0 answers."""
    wire = Wire(connected(port), HERE, first=False)
    wire.say_number()
    wire.seal(secret or stretch(TOKEN), wire.wait(5))
    wire.send(message)
    return wire, wire.wait(5)


def connected(port):
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection((HERE, port), timeout=5)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)


def until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def closed(link):
    """Whether the other end closes the connection, whatever it says before."""
    link.settimeout(10)
    with suppress(ConnectionResetError):
        while link.recv(4096):
            pass
    return True
