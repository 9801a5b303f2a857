"""The launchers of a run on several nodes, once they have met (launch/meeting.py): they end together.

Node 0's launcher is connected to the others, and passes on to the rest what one of them says. A launcher that ends
closes its connection; a machine that vanishes is noticed by TCP's probes.
"""

from contextlib import suppress
from dataclasses import dataclass

from launch.processes import Failure, OtherNodes
from launch.wire import Wire
from utils.printable import printable
from utils.reading.json_file import has_fields, is_count


@dataclass(frozen=True)
class NodeSpec:
    """Which launcher this is, and what all of them must agree on."""

    node: int
    nnodes: int
    nproc: int


_FAILED = {"node": is_count, "status": lambda value: type(value) is int, "failed": lambda value: isinstance(value, str)}
_ENDED = {"node": is_count, "ended": lambda value: value is True}


class Nodes(OtherNodes):
    """The other nodes' launchers, as this one's sees them."""

    look = 0.2

    def __init__(self, spec: NodeSpec, wires: dict[int, Wire]) -> None:
        """wires: connections to the others on node 0, to node 0 alone on the others."""
        self._spec, self._wires = spec, dict(wires)
        self._running = set(range(spec.nnodes)) - {spec.node}
        self._failures: list[Failure] = []

    def failures(self) -> list[Failure]:
        self._listen()
        return self._failures

    def running(self) -> bool:
        self._listen()
        return bool(self._running)

    def tell_failure(self, status: int, sentence: str) -> None:
        self._tell({"node": self._spec.node, "status": status, "failed": printable(sentence)})

    def tell_end(self) -> None:
        self._tell({"node": self._spec.node, "ended": True})

    def _tell(self, message: dict, but: int | None = None) -> None:
        for node, wire in self._wires.items():
            if node != but:
                with suppress(OSError):  # its loss is noticed where it is listened to
                    wire.send(message)

    def _listen(self) -> None:
        for node, wire in list(self._wires.items()):
            try:
                come = True  # maybe with the last line of the meeting
                while come:
                    while (message := wire.next()) is not None:
                        self._check(message, node)
                        self._take(message, node)
                    come = wire.fill()
            except EOFError:
                self._lose(node, f"its launcher at {wire.address} is gone")
            except (OSError, ValueError) as error:
                why = getattr(error, "strerror", None) or error
                self._lose(node, f"nothing is heard from {wire.address} any more ({why})")

    def _check(self, message: dict, source: int) -> None:
        """Raises ValueError unless the launcher of node `source` may say it: node 0 speaks for all, others for one."""
        known = any(has_fields(message, rules) for rules in (_FAILED, _ENDED))
        if not known or message["node"] >= self._spec.nnodes or source not in (0, message["node"]):
            raise ValueError("it says what no launcher says")

    def _take(self, message: dict, source: int) -> None:
        if "failed" in message:
            # Whatever the number is, it is that of a failure, as an exit status has it.
            status = min(max(message["status"], 1), 255)
            self._failures.append(Failure(f"node {message['node']}", status, printable(message["failed"])))
        else:
            self._running.discard(message["node"])
        if self._spec.node == 0:
            self._tell(message, but=source)

    def _lose(self, node: int, why: str) -> None:
        self._wires.pop(node).close()
        if node in self._running:
            self._take({"node": node, "status": 1, "failed": why}, node)
            self._take({"node": node, "ended": True}, node)
        if self._spec.node != 0:
            self._running.clear()  # of them nothing is heard any more
