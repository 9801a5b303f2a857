"""How the launchers of a run on several nodes find each other, whoever else is at the port.

Node 0 listens on MASTER_PORT. It hears all who connect side by side, each for a few seconds, and seats those that show
with every line that they know the token (launch/wire.py); the others make sure of node 0 in the same way. When all are
there it closes the port and says where the ranks will meet.
"""

import math
import resource
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from launch.nodes import Nodes, NodeSpec
from launch.rendezvous import free_port
from launch.token import stretch
from launch.wire import Wire, WrongSealError
from utils.errors import UserError
from utils.reading.json_file import has_fields, is_count, is_positive

_WAIT = 5.0  # seconds until it is said who is waited for
_HELLO = 5.0  # seconds that a hello may take
_GUESTS = 128  # who may be connected and unknown at once, or half the open files that a process may have
_TOLD = 8  # addresses of wrong tokens that are named
_PLACE = {"node": is_positive, "nnodes": is_positive, "nproc": is_positive}
_PORT = {"rank_port": lambda value: is_count(value) and 0 < value < 1 << 16}
_REFUSED = {"refused": lambda value: isinstance(value, str)}


def gather(spec: NodeSpec, port: int, token: bytes) -> tuple[Nodes, int]:
    """On node 0: waits for all others at `port`; also the port at which the ranks will meet, which it tells them.

    Raises UserError, on all nodes, if one was started with another NNODES or NPROC.
    """
    secret = stretch(token)
    try:
        listener = socket.create_server(("", port), backlog=1024)
    except OSError as error:
        raise UserError(f"MASTER_PORT={port} cannot be used ({error.strerror}): choose another.") from error
    with _Door(spec, listener, secret) as door:
        wires = door.meet()
    rank_port = free_port()
    for wire in wires.values():
        with suppress(OSError):  # that it has gone is noticed when the ranks are watched
            wire.send({"rank_port": rank_port})
    return Nodes(spec, wires), rank_port


def join(spec: NodeSpec, addr: str, port: int, token: bytes) -> tuple[Nodes, int]:
    """On the others: connects to node 0; also the port at which the ranks will meet. Raises UserError as `gather`."""
    secret, begin, said = stretch(token), time.monotonic(), False
    while True:
        try:
            wire = _enter(spec, addr, port, secret)
            break
        except (OSError, EOFError) as error:
            if not said and time.monotonic() - begin > _WAIT:
                said = True
                print(f"Waiting for node 0 at {addr}:{port} ({error}) ...", file=sys.stderr, flush=True)
            time.sleep(0.5)
    try:
        answer = wire.wait(None)
    except (OSError, EOFError):
        raise UserError(f"Node 0 ({addr}:{port}) ended before all nodes were there.") from None
    except ValueError:
        raise UserError(f"What node 0 ({addr}:{port}) said was changed on the way; start the run again.") from None
    if not has_fields(answer, _PORT):
        _raise_refusal(answer)
    return Nodes(spec, {0: wire}), answer["rank_port"]


def _enter(spec: NodeSpec, addr: str, port: int, secret: bytes) -> Wire:
    """A connection to node 0, which has seated this one and knows the token. Raises UserError, OSError and EOFError."""
    end = time.monotonic() + _HELLO
    with ExitStack() as stack:
        link = stack.enter_context(socket.create_connection((addr, port), timeout=_HELLO))
        wire = Wire(link, addr, first=False)
        wire.say_number()
        try:
            wire.seal(secret, wire.wait(end - time.monotonic()))
            wire.send(vars(spec))
            answer = wire.wait(end - time.monotonic())
        except WrongSealError:
            raise UserError(
                f"Node 0 ({addr}:{port}) has another token than this machine: give all the same MASTER_TOKEN, or copy "
                "the token's file from there."
            ) from None
        except ValueError:
            raise UserError(
                f"{addr}:{port} answers, but not as node 0 of such a run: check MASTER_ADDR and MASTER_PORT."
            ) from None
        if answer != {"welcome": True}:
            _raise_refusal(answer)
        stack.pop_all()
    return wire


def _raise_refusal(answer: dict) -> None:
    raise UserError(answer["refused"] if has_fields(answer, _REFUSED) else "Node 0 is of another version of this code.")


@dataclass
class _Guest:
    """Who has connected and has not said yet who it is."""

    wire: Wire
    until: float  # by then it has to have said it
    sealed: bool = False


class _Door:
    """Node 0's end of the meeting. No guest is waited for: a slow one delays nobody, and a crowd only itself."""

    def __init__(self, spec: NodeSpec, listener: socket.socket, secret: bytes) -> None:
        self._spec, self._listener, self._secret = spec, listener, secret
        self._guests: dict[int, _Guest] = {}  # by their numbers of open files, the oldest first
        self._seats: dict[int, Wire] = {}
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = _GUESTS if files == resource.RLIM_INFINITY else min(_GUESTS, files // 2)  # OpenSSL needs some too
        self._named: set[str] = set()  # addresses whose wrong tokens were named
        self._say_at = time.monotonic() + _WAIT  # when it is said who is waited for
        self._selector = selectors.DefaultSelector()
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    def __enter__(self) -> "_Door":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._selector.close()
        self._listener.close()
        for guest in self._guests.values():
            guest.wire.close()
        if kind:
            for wire in self._seats.values():
                wire.close()

    def meet(self) -> dict[int, Wire]:
        """The connections of all other nodes. Raises UserError if one does not belong to this run."""
        while missing := sorted(set(range(1, self._spec.nnodes)) - self._seats.keys()):
            ready = self._selector.select(self._pause())
            for key, _ in ready:
                if key.fileobj is self._listener:
                    self._admit()
                elif guest := self._guests.get(key.fd):
                    self._hear(key.fd, guest)
                else:
                    self._watch_seat(key.fd)
            now = time.monotonic()
            for number in [number for number, guest in self._guests.items() if guest.until <= now]:
                self._dismiss(number)
            if now >= self._say_at:
                self._say_at = math.inf
                names = ", ".join(map(str, missing))
                _say(f"Waiting for node {names} to connect to port {self._listener.getsockname()[1]} ...")
        return self._seats

    def _pause(self) -> float | None:
        moment = min([self._say_at, *(guest.until for guest in self._guests.values())])
        return None if moment == math.inf else max(0.0, moment - time.monotonic())

    def _admit(self) -> None:
        """Lets one in. Where there are too many, the oldest of the address that has most of them goes."""
        if len(self._guests) >= self._most:
            self._make_room()
        try:
            link, address = self._listener.accept()
        except OSError:  # gone again, or too many open files
            self._make_room()
            time.sleep(0.01)
            return
        try:
            wire = Wire(link, address[0], first=True)
            wire.say_number()
        except OSError:
            link.close()
            return
        self._guests[wire.fileno()] = _Guest(wire, time.monotonic() + _HELLO)
        self._selector.register(wire, selectors.EVENT_READ)

    def _make_room(self) -> None:
        crowd = Counter(guest.wire.address for guest in self._guests.values())
        if crowd:
            address = crowd.most_common(1)[0][0]
            self._dismiss(next(fd for fd, guest in self._guests.items() if guest.wire.address == address))

    def _hear(self, number: int, guest: _Guest) -> None:
        try:
            guest.wire.fill()
            while (message := guest.wire.next()) is not None:
                if guest.sealed:
                    self._seat(number, guest.wire, message)
                    return
                guest.wire.seal(self._secret, message)
                guest.sealed = True
        except UserError:
            raise
        except WrongSealError:
            self._tell_of_token(guest.wire)
            self._dismiss(number)
        except (OSError, EOFError, ValueError):
            self._dismiss(number)

    def _seat(self, number: int, wire: Wire, message: dict) -> None:
        """For one that has shown that it knows the token. Raises UserError if it does not belong to this run."""
        if not has_fields(message, _PLACE):
            raise ValueError("it is of another version")
        other = NodeSpec(message["node"], message["nnodes"], message["nproc"])
        if (other.nnodes, other.nproc) != (self._spec.nnodes, self._spec.nproc) or other.node >= self._spec.nnodes:
            sentence = (
                f"Node {other.node} ({wire.address}) has NNODES={other.nnodes} and NPROC={other.nproc}, but node 0 "
                f"has NNODES={self._spec.nnodes} and NPROC={self._spec.nproc}: start all with the same."
            )
            _refuse([wire, *self._seats.values()], sentence)
            raise UserError(sentence)
        wire.send({"welcome": True})
        if other.node in self._seats:  # started again, or two of the same number
            said = (
                f"Another launcher ({wire.address}) has connected as NODE_RANK={other.node}: give each machine its own."
            )
            self._empty_seat(other.node, said)
        del self._guests[number]
        self._seats[other.node] = wire

    def _watch_seat(self, number: int) -> None:
        """Who has a seat has nothing to say until all are there; that it has ended, it shows."""
        for node, wire in self._seats.items():
            if wire.fileno() == number:
                with suppress(OSError, EOFError):
                    if not wire.fill():
                        return
                self._empty_seat(node)
                self._say_at = time.monotonic() + _WAIT
                return

    def _empty_seat(self, node: int, sentence: str = "") -> None:
        wire = self._seats.pop(node)
        self._selector.unregister(wire)
        if sentence:
            _refuse([wire], sentence)
        wire.close()

    def _dismiss(self, number: int) -> None:
        wire = self._guests.pop(number).wire
        self._selector.unregister(wire)
        wire.close()

    def _tell_of_token(self, wire: Wire) -> None:
        with suppress(OSError):
            wire.refuse_seal()
        if wire.address not in self._named and len(self._named) < _TOLD:
            self._named.add(wire.address)
            _say(f"{wire.address} has another token and was not let in; node 0 goes on waiting.")


def _refuse(wires: Iterable[Wire], sentence: str) -> None:
    for wire in wires:
        with suppress(OSError):
            wire.send({"refused": sentence})


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
