"""The launchers of a run on several nodes: they meet before the first rank starts, and end together.

Node 0's launcher listens on MASTER_PORT, the others connect to it, and it passes on to the rest what one of them says:
a JSON object a line. A launcher that ends closes its connection; a machine that vanishes is noticed by TCP's probes.
"""

import json
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from launch.processes import Failure, Others
from utils.errors import UserError

_WAIT = 5.0  # seconds until it is said who is waited for
_HELLO = 5.0  # seconds a launcher that connects has to say who it is
# An idle connection is probed after 5 s and every 3 s then; it ends where nothing has come for 20 s.
_PROBES = {socket.TCP_KEEPIDLE: 5, socket.TCP_KEEPINTVL: 3, socket.TCP_KEEPCNT: 5, socket.TCP_USER_TIMEOUT: 20_000}


@dataclass(frozen=True)
class Place:
    """Which launcher this is, and what all of them must agree on."""

    node: int
    nnodes: int
    nproc: int


class Nodes(Others):
    """The other nodes' launchers, as this one's sees them."""

    look = 0.2

    def __init__(self, place: Place, links: dict[int, socket.socket]) -> None:
        """links: connections to the others on node 0, to node 0 alone on the others."""
        self._place, self._links = place, dict(links)
        self._addresses = {node: link.getpeername()[0] for node, link in links.items()}
        self._unread = dict.fromkeys(links, b"")
        self._running = set(range(place.nnodes)) - {place.node}
        self._failures: list[Failure] = []

    def failures(self) -> list[Failure]:
        self._listen()
        return self._failures

    def running(self) -> bool:
        self._listen()
        return bool(self._running)

    def tell_failure(self, status: int, sentence: str) -> None:
        self._tell({"node": self._place.node, "status": status, "failed": sentence})

    def tell_end(self) -> None:
        self._tell({"node": self._place.node, "ended": True})

    def _tell(self, message: dict, but: int | None = None) -> None:
        for node, link in self._links.items():
            if node != but:
                with suppress(OSError):  # its loss is noticed where it is listened to
                    _send(link, message)

    def _listen(self) -> None:
        for node, link in list(self._links.items()):
            try:
                while data := link.recv(1 << 16, socket.MSG_DONTWAIT):
                    *lines, self._unread[node] = (self._unread[node] + data).split(b"\n")
                    for line in lines:
                        self._take(json.loads(line), node)
                self._lose(node, f"its launcher at {self._addresses[node]} is gone")
            except BlockingIOError:
                pass
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                self._lose(node, f"nothing is heard from {self._addresses[node]} any more ({why})")

    def _take(self, message: dict, source: int) -> None:
        if "failed" in message:
            self._failures.append(Failure(f"node {message['node']}", message["status"], message["failed"]))
        else:
            self._running.discard(message["node"])
        if self._place.node == 0:
            self._tell(message, but=source)

    def _lose(self, node: int, why: str) -> None:
        self._links.pop(node).close()
        if node in self._running:
            self._take({"node": node, "status": 1, "failed": why}, node)
            self._take({"node": node, "ended": True}, node)
        if self._place.node != 0:
            self._running.clear()  # of them nothing is heard any more


def gather(place: Place, port: int, rank_port: int) -> Nodes:
    """On node 0: waits for all others at `port`, and tells them the port at which the ranks will meet.

    Raises UserError, on all nodes, where one was started with another NNODES or NPROC.
    """
    links: dict[int, socket.socket] = {}
    try:
        listener = socket.create_server(("", port))
    except OSError as error:
        raise UserError(f"MASTER_PORT={port} cannot be used ({error.strerror}): choose another.") from error
    with listener:
        listener.settimeout(_WAIT)
        while missing := sorted(set(range(1, place.nnodes)) - links.keys()):
            try:
                link, address = listener.accept()
            except TimeoutError:
                names = ", ".join(map(str, missing))
                print(f"Waiting for node {names} to connect to port {port} ...", file=sys.stderr, flush=True)
                listener.settimeout(None)
                continue
            other = _hello(link)
            if other is None:
                link.close()
                continue
            if other.node in links:  # started again, or two of the same number
                _refuse([links.pop(other.node)], f"Another launcher has connected as NODE_RANK={other.node}.")
            links[other.node] = link
            if (other.nnodes, other.nproc) != (place.nnodes, place.nproc) or other.node >= place.nnodes:
                sentence = (
                    f"Node {other.node} ({address[0]}) has NNODES={other.nnodes} and NPROC={other.nproc}, but node 0 "
                    f"has NNODES={place.nnodes} and NPROC={place.nproc}: start all with the same."
                )
                _refuse(links.values(), sentence)
                raise UserError(sentence)
    for link in links.values():
        with suppress(OSError):
            _send(link, {"rank_port": rank_port})
    return Nodes(place, links)


def join(place: Place, addr: str, port: int) -> tuple[Nodes, int]:
    """On the others: connects to node 0; also the port at which the ranks will meet. Raises UserError as `gather`."""
    begin, said = time.monotonic(), False
    while True:
        try:
            link = socket.create_connection((addr, port), timeout=_HELLO)
            break
        except OSError as error:
            if not said and time.monotonic() - begin > _WAIT:
                said = True
                print(f"Waiting for node 0 at {addr}:{port} ({error}) ...", file=sys.stderr, flush=True)
            time.sleep(0.5)
    _prepare(link)
    try:
        _send(link, vars(place))
        answer = json.loads(_line(link))
    except (OSError, ValueError):
        raise UserError(f"Node 0 ({addr}:{port}) ended before all nodes were there.") from None
    if "refused" in answer:
        raise UserError(answer["refused"])
    return Nodes(place, {0: link}), answer["rank_port"]


def _prepare(link: socket.socket) -> None:
    link.settimeout(None)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _PROBES.items():
        link.setsockopt(socket.IPPROTO_TCP, option, value)


def _hello(link: socket.socket) -> Place | None:
    """Who has connected; None where that is no launcher."""
    try:
        link.settimeout(_HELLO)
        place = Place(**json.loads(_line(link)))
        _prepare(link)
    except (OSError, ValueError, TypeError):
        return None
    return place if place.node > 0 else None


def _refuse(links, sentence: str) -> None:
    for link in links:
        with suppress(OSError):
            _send(link, {"refused": sentence})
        link.close()


def _send(link: socket.socket, message: dict) -> None:
    link.sendall(json.dumps(message).encode() + b"\n")


def _line(link: socket.socket) -> bytes:
    """The next line, byte by byte: what follows it is left for later."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 4096:
        byte = link.recv(1)
        if not byte:
            break
        line += byte
    return line
