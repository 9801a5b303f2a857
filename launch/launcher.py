"""Starts the ranks of a run on this machine and watches them until they end.

    python -m launch [options] train.py CONFIG [overrides]

Every rank learns who it is from MASTER_ADDR, MASTER_PORT, WORLD_SIZE, RANK and LOCAL_RANK, as from OneFlow's own
`oneflow.distributed.launch`. That one is not used because it loses ranks: when one dies it signals the process group
of its own number, which does not exist where a script started it, so the other ranks wait for ever; its exit status is
1 whatever happened; and at Ctrl-C it leaves at once, while a rank may be writing a checkpoint. Here a rank that fails
ends the others and its exit status is handed on, and a signal to stop is passed on once and waited for.

On several nodes, run it on each with the same NNODES, MASTER_ADDR, MASTER_PORT and NPROC, and its own NODE_RANK. The
launchers meet at MASTER_PORT before the ranks start, and then share their fate (see launch/nodes.py). They know each
other by a token, in MASTER_TOKEN or in a file (see launch/token.py).
"""

import argparse
import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from launch.epoch_signal import hold_epoch_signal
from launch.gpu import usable_cards
from launch.meeting import gather, join
from launch.nodes import Nodes, NodeSpec
from launch.process import Process
from launch.processes import Grace, run_together
from launch.rendezvous import free_port
from launch.token import read_token
from utils.errors import UserError
from utils.printable import printable

CPU_RANKS = 2  # where there is no card: enough to be a distributed run


@dataclass(frozen=True)
class Layout:
    """Which ranks run where."""

    nproc: int
    nnodes: int
    node_rank: int
    master_addr: str
    master_port: int

    def environment(self, local_rank: int) -> dict[str, str]:
        return {
            "MASTER_ADDR": self.master_addr,
            "MASTER_PORT": str(self.master_port),
            "WORLD_SIZE": str(self.nproc * self.nnodes),
            "RANK": str(self.nproc * self.node_rank + local_rank),
            "LOCAL_RANK": str(local_rank),
        }


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    hold_epoch_signal()
    options = _parse(arguments, environ)
    public = {name: value for name, value in environ.items() if name != "MASTER_TOKEN"}  # ranks have no use for it
    try:
        usable, refused = usable_cards(environ.get("CUDA_VISIBLE_DEVICES"))
        for card in refused:
            print(card.refusal, file=sys.stderr)
        layout = read_layout(options, default_nproc=len(usable) or CPU_RANKS)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2

    # Threads that wait for each other sleep: by spinning they would take the cores of other ranks and programs.
    common = {"OMP_NUM_THREADS": str(threads_per_rank(layout.nproc)), "OMP_WAIT_POLICY": "passive", **public}
    if refused:
        common["CUDA_VISIBLE_DEVICES"] = ",".join(card.uuid for card in usable)
    grace = Grace(failed=options.grace, stopped=options.stop_grace)
    if options.prepare:
        prepare = Process(options.prepare, [sys.executable, options.prepare], public)
        status = run_together([prepare], grace)
        if status != 0:
            return status
    try:
        others, layout = meet(layout, environ)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    # -u: what a rank prints is seen when it prints it, also through a pipe.
    command = [sys.executable, "-u", options.script, *options.arguments]
    with tempfile.TemporaryDirectory(prefix="ranks-") as notes:
        ranks = []
        for local_rank in range(layout.nproc):
            own = layout.environment(local_rank)
            note = Path(notes, own["RANK"])
            own["FAILURE_NOTE"] = str(note)
            name = f"rank {own['RANK']}"
            ranks.append(Process(name, command, common | own, prefixed=local_rank > 0, note=note))
        return run_together(ranks, grace, others)


def meet(layout: Layout, environ: Mapping[str, str]) -> tuple[Nodes | None, Layout]:
    """Waits until the launchers of all nodes are there. The layout with the port at which the ranks will meet."""
    if layout.nnodes == 1:
        return None, layout
    spec = NodeSpec(layout.node_rank, layout.nnodes, layout.nproc)
    token, said = read_token(environ, spec.node, layout.master_addr)
    if said:
        print(said, file=sys.stderr, flush=True)
    if spec.node == 0:
        others, rank_port = gather(spec, layout.master_port, token)
    else:
        others, rank_port = join(spec, layout.master_addr, layout.master_port, token)
    return others, replace(layout, master_port=rank_port)


def _parse(arguments: list[str], environ: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m launch", allow_abbrev=False)
    for name, meaning in (
        ("nproc", "ranks on this node; default: the cards OneFlow can use, else 2 on the CPU"),
        ("nnodes", "nodes of the run; default: 1"),
        ("node_rank", "which of them this is; default: 0"),
        ("master_addr", "address of node 0; default, on one node: 127.0.0.1"),
        ("master_port", "a port that is free there; default, on one node: any"),
    ):
        variable = name.upper()
        parser.add_argument(f"--{name}", default=environ.get(variable, ""), help=f"{meaning} (or ${variable})")
    grace = Grace()
    parser.add_argument(
        "--grace", type=float, default=grace.failed, help="seconds the others have when a rank fails (%(default)s)"
    )
    parser.add_argument(
        "--stop_grace", type=float, default=grace.stopped, help="seconds to end after a signal (%(default)s)"
    )
    parser.add_argument("--prepare", metavar="SCRIPT", help="a program run once before the ranks")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser.parse_args(arguments)


def layout_options(environ: Mapping[str, str]) -> argparse.Namespace:
    """What `read_layout` reads, as the variables of the environment say it."""
    return _parse([""], environ)


def read_layout(options: argparse.Namespace, default_nproc: int) -> Layout:
    nproc = _whole("NPROC", options.nproc, default_nproc, 1, 4096)
    nnodes = _whole("NNODES", options.nnodes, 1, 1, 4096)
    node_rank = _whole("NODE_RANK", options.node_rank, 0, 0, nnodes - 1)
    if nnodes == 1:
        addr = options.master_addr or "127.0.0.1"
    elif not (options.master_addr and options.master_port):
        raise UserError("NNODES > 1 needs MASTER_ADDR and MASTER_PORT: node 0's address and a free port there.")
    else:
        addr = options.master_addr
    try:
        numbers = [str(address[0]) for *_, address in socket.getaddrinfo(addr, None)]
    except OSError as error:
        raise UserError(f"MASTER_ADDR={addr} is not the address of a machine ({error.strerror}).") from error
    if nnodes > 1 and all(ipaddress.ip_address(number.split("%")[0]).is_loopback for number in numbers):
        # OneFlow tells nodes apart by their address; on the same one they wait for each other for ever.
        raise UserError(f"MASTER_ADDR={addr} is every machine's own; with NNODES > 1 give node 0's address.")
    port = _whole("MASTER_PORT", options.master_port, 0, 1, 65535)
    if node_rank == 0:
        port = _claim_port(port)
    return Layout(nproc, nnodes, node_rank, addr, port)


def _whole(name: str, text: str, default: int, lowest: int, highest: int) -> int:
    if not text:
        return default
    if text.isdecimal() and len(text) < 10 and lowest <= int(text) <= highest:
        return int(text)
    raise UserError(f"{name}={printable(text)} is not a whole number from {lowest} to {highest}.")


def _claim_port(port: int) -> int:
    """The port itself if it is free; for 0, one that is."""
    if port == 0:
        return free_port()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one just left by a run that ended is free
        try:
            listener.bind(("", port))
        except OSError as error:
            raise UserError(f"MASTER_PORT={port} cannot be used ({error.strerror}): choose another.") from error
    return port


def threads_per_rank(nproc: int) -> int:
    return max(1, len(os.sched_getaffinity(0)) // nproc)
