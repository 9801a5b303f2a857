"""Launchers find each other at their port, whoever else is there."""

import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from launch.meeting import gather, join
from launch.nodes import NodeSpec
from tests.launch.meetings import (
    FIRST,
    HERE,
    SECOND,
    STRANGERS,
    TOKEN,
    closed,
    connected,
    enter,
    meet,
    until,
)
from tests.launch.strangers import ALL
from tests.nodes import PORT, two_nodes
from tests.ranks import ROOT
from utils.errors import UserError

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("name", ALL)
def test_a_pair_meets_whoever_else_is_at_the_port(pool, port, strangers, name):
    strangers(name)
    first = pool.submit(gather, FIRST, port, TOKEN)
    connected(port).close()
    time.sleep(1.5)  # the strangers are there
    assert not first.done()
    rank_port = join(SECOND, HERE, port, TOKEN)[1]
    assert first.result(timeout=30)[1] == rank_port


def test_of_two_with_the_same_number_the_first_is_told(pool, port):
    first = pool.submit(gather, NodeSpec(0, 3, 1), port, TOKEN)
    early = pool.submit(join, NodeSpec(1, 3, 1), HERE, port, TOKEN)
    time.sleep(1)
    late = pool.submit(join, NodeSpec(1, 3, 1), HERE, port, TOKEN)
    with pytest.raises(UserError, match=rf"^Another launcher \({HERE}\) has connected as NODE_RANK=1: give each"):
        early.result(timeout=10)
    join(NodeSpec(2, 3, 1), HERE, port, TOKEN)
    assert late.result(timeout=10)[1] == first.result(timeout=10)[1]


def test_a_launcher_that_ended_before_all_were_there_has_no_seat(pool, port):
    first = pool.submit(gather, NodeSpec(0, 3, 1), port, TOKEN)
    wire, answer = enter(port, {"node": 1, "nnodes": 3, "nproc": 1})
    assert answer == {"welcome": True}
    wire.close()
    join_2 = pool.submit(join, NodeSpec(2, 3, 1), HERE, port, TOKEN)
    time.sleep(0.5)
    assert not first.done()
    join(NodeSpec(1, 3, 1), HERE, port, TOKEN)
    assert join_2.result(timeout=10)[1] == first.result(timeout=10)[1]


@pytest.mark.parametrize("message", [
    {}, {"node": "1", "nnodes": 2, "nproc": 1}, {"node": True, "nnodes": 2, "nproc": 1},
    {"node": 0, "nnodes": 2, "nproc": 1}, {"node": -1, "nnodes": 2, "nproc": 1},
    {"node": 1.5, "nnodes": 2, "nproc": 1}, {"node": [1], "nnodes": 2, "nproc": 1},
    {"node": 1, "nnodes": 2}, {"node": 1, "nnodes": None, "nproc": 1},
])  # fmt: skip
def test_fields_of_other_types_are_refused_though_the_token_is_right(pool, port, message):
    first = pool.submit(gather, FIRST, port, TOKEN)
    with pytest.raises((EOFError, OSError)):
        enter(port, message)
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)


@pytest.mark.parametrize(("status", "kept"), [
    (1_000_000_000, 255), (0, 1), (-9, 1), (256, 255), (10**4000, 255), (7, 7),
])  # fmt: skip
def test_statuses_are_those_that_a_process_can_end_with_and_never_0(pool, port, status, kept):
    nodes, others = meet(pool, port)
    others._wires[0].send({"node": 1, "status": status, "failed": "its \x1b[2Jend"})
    until(nodes.failures)
    assert [(one.who, one.status, one.sentence) for one in nodes.failures()] == [("node 1", kept, "its ?[2Jend")]
    assert nodes.running()
    others.tell_end()
    until(lambda: not nodes.running())


@pytest.mark.parametrize("message", [
    {"node": 1, "status": "1", "failed": "x"}, {"node": 1, "status": 1, "failed": ["x"]},
    {"node": 2, "ended": True}, {"node": 0, "ended": True}, {"node": 1, "ended": 1}, {"node": "1", "ended": True}, {},
])  # fmt: skip
def test_a_node_that_says_what_no_launcher_says_has_failed(pool, port, message):
    first = pool.submit(gather, FIRST, port, TOKEN)
    wire, _ = enter(port, {"node": 1, "nnodes": 2, "nproc": 1})
    nodes = first.result(timeout=10)[0]
    wire.send(message)
    until(nodes.failures)
    assert not nodes.running()
    (failure,) = nodes.failures()
    assert (failure.who, failure.status) == ("node 1", 1)
    assert failure.sentence == f"nothing is heard from {HERE} any more (it says what no launcher says)"


@pytest.mark.timeout(280)  # strangers take the cores too
def test_two_machines_meet_with_all_strangers_at_the_port(tmp_path):
    """The launchers themselves, with strangers on both machines and one who has another token."""
    script = tmp_path / "rank.py"
    script.write_text("print('here')")
    with two_nodes() as nodes:
        attack = f"import runpy, sys\nsys.argv = ['', '10.0.0.1', '{PORT}', *{list(ALL)}]\n"
        (tmp_path / "attack.py").write_text(f"{attack}runpy.run_path({str(STRANGERS)!r}, run_name='__main__')")
        for node in (0, 1):
            nodes.keep_running(node, str(tmp_path / "attack.py"))
        first = nodes.launch(0, str(script))
        time.sleep(2)
        wrong = nodes.launch(1, str(script), MASTER_TOKEN="not-the-token-of-node-0")
        refusal = wrong.communicate(timeout=80)[0]
        second = nodes.launch(1, str(script))
        said, heard = (process.communicate(timeout=80)[0] for process in (first, second))
    assert (wrong.returncode, first.returncode, second.returncode) == (2, 0, 0)
    assert refusal.startswith("error: Node 0 (10.0.0.1:29500) has another token than this machine: ")
    assert refusal.count("\n") == 1
    assert said.endswith("here\n") and "Traceback" not in said and heard.endswith("here\n")


def test_who_takes_long_for_a_hello_is_put_out(pool, port, monkeypatch):
    monkeypatch.setattr("launch.meeting._HELLO", 0.5)
    first = pool.submit(gather, FIRST, port, TOKEN)
    quiet, slow = connected(port), connected(port)
    ended = pool.submit(closed, slow)
    for byte in b'{"number": "' + b"0" * 40:
        if ended.done():
            break
        with suppress(OSError):
            slow.sendall(bytes([byte]))
        time.sleep(0.1)
    assert ended.done() and closed(quiet)
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)


def test_a_crowd_puts_out_only_its_own(pool, port, monkeypatch):
    monkeypatch.setattr("launch.meeting._GUESTS", 8)
    first = pool.submit(gather, FIRST, port, TOKEN)
    connected(port).close()
    other = socket.create_connection((HERE, port), source_address=("127.0.0.3", 0))
    crowd = [socket.create_connection((HERE, port), source_address=("127.0.0.2", 0)) for _ in range(30)]
    assert all(closed(link) for link in crowd[:20])
    assert len(other.recv(4096)) > 64  # node 0's number ...
    other.settimeout(0.2)
    with pytest.raises(TimeoutError):  # ... and it is still there
        other.recv(1)
    join(SECOND, HERE, port, TOKEN)
    first.result(timeout=10)


def test_few_open_files_are_enough(port):
    """Node 0 with hardly more than Python itself needs, and strangers who take all of them."""
    script = (
        "import resource, sys\nfrom launch.meeting import gather\nfrom launch.nodes import NodeSpec\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))\n"
        f"gather(NodeSpec(0, 2, 1), {port}, {TOKEN!r})\n"
    )
    first = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    crowd = [connected(port) for _ in range(60)]
    join(SECOND, HERE, port, TOKEN)
    assert first.communicate(timeout=30)[1] == "" and first.returncode == 0
    assert len(crowd) == 60


def test_what_comes_with_the_last_line_of_the_meeting_is_heard(pool, port):
    """Of a node 0 that has ended before the other looks."""
    second = pool.submit(join, SECOND, HERE, port, TOKEN)
    nodes, _ = gather(FIRST, port, TOKEN)
    others = second.result(timeout=10)[0]
    wire = others._wires[0]
    nodes.tell_end()
    nodes._wires[1].close()
    time.sleep(0.3)
    wire.fill()  # as the meeting does, if both have come by then
    assert not others.running() and not others.failures()
