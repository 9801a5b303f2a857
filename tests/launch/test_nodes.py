"""Launchers on two nodes: they meet, share the ranks' fate and tell each other why."""

import signal
import time

import pytest

from tests.nodes import two_nodes

WHO = "import os, signal, sys, time\nfrom pathlib import Path\nrank = int(os.environ['RANK'])\n"
MISTAKE = "from utils.cli import run_cli\nfrom utils.errors import UserError\ndef main(_):\n"


@pytest.fixture
def nodes():
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture
def script(tmp_path):
    """Writes a program for the ranks; `rank` and `here` are known in it."""

    def write(body):
        path = tmp_path / "rank.py"
        path.write_text(f"{WHO}here = Path({str(tmp_path)!r})\n(here / f'ready{{rank}}').touch()\n{body}")
        return str(path)

    return write


def results(processes, seconds=30):
    """[(exit status, what was printed)] of both launchers, which must end in time."""
    end = time.monotonic() + seconds
    printed = [process.communicate(timeout=max(0.1, end - time.monotonic()))[0] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, printed, strict=True)]


def wait_for_ranks(folder, ranks):
    end = time.monotonic() + 20
    while not all((folder / f"ready{rank}").exists() for rank in range(ranks)):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_ranks_know_their_place_and_where_to_meet(nodes, script):
    path = script("print(*(os.environ[n] for n in 'RANK LOCAL_RANK WORLD_SIZE MASTER_ADDR MASTER_PORT'.split()))")
    (one, first), (two, second) = results(nodes.launch_both(path, NPROC="2"))
    assert (one, two) == (0, 0)
    lines = sorted(line.removeprefix(f"[rank {k}] ") for text in (first, second) for k in (1, 3)
                   for line in text.splitlines() if line.startswith((f"[rank {k}]", f"{k - 1} ")))  # fmt: skip
    port = lines[0].split()[-1]
    assert lines == [f"{rank} {rank % 2} 4 10.0.0.1 {port}" for rank in range(4)]


@pytest.mark.parametrize("node", [0, 1])
@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "was ended by SIGKILL (out of memory?)"),
        ("sys.exit(7)", 7, "failed (exit status 7)"),
        ("from utils.cli import run_cli\nrun_cli(lambda _: [][3], True)", 1, "failed (IndexError: list index"),
    ],
)
def test_a_rank_that_fails_ends_both_with_its_reason(nodes, script, node, body, status, reason):
    path = script(f"time.sleep(0.5)\nif rank != {node}: time.sleep(100)\n{body}")
    begin = time.monotonic()
    ends = results(nodes.launch_both(path))
    assert time.monotonic() - begin < 10
    assert [code for code, _ in ends] == [status, status]
    assert ends[node][1].splitlines()[-1].startswith(f"rank {node} {reason}")
    assert ends[1 - node][1].splitlines()[-1].startswith(f"node {node}: rank {node} {reason}")


@pytest.mark.parametrize("node", [0, 1])
def test_a_rank_that_only_lost_another_is_not_the_reason(nodes, script, node):
    """OneFlow aborts it at once, maybe before the other's launcher has spoken."""
    path = script(
        "while not all((here / f'ready{other}').exists() for other in range(2)): pass\n"
        f"if rank == {node}: os.abort()\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    ends = results(nodes.launch_both(path))
    assert [code for code, _ in ends] == [128 + signal.SIGKILL] * 2
    assert ends[node][1].splitlines()[-1].startswith(f"node {1 - node}: rank {1 - node} was ended by SIGKILL")
    assert ends[1 - node][1].splitlines()[-1].startswith(f"rank {1 - node} was ended by SIGKILL")


def test_an_abort_is_the_reason_where_there_is_no_other(nodes, script):
    ends = results(nodes.launch_both(script("if rank == 0: os.abort()\ntime.sleep(100)")))
    assert [code for code, _ in ends] == [128 + signal.SIGABRT] * 2
    assert ends[1][1] == "node 0: rank 0 was ended by SIGABRT.\n"


def test_a_users_error_of_one_rank_is_told_on_both(nodes, script):
    path = script(MISTAKE + "    if rank == 0: time.sleep(100)\n    raise UserError('it is missing')\nrun_cli(main)")
    (one, first), (two, second) = results(nodes.launch_both(path))
    assert (one, two) == (2, 2)
    assert first == "node 1: error: it is missing.\n"
    assert second == "error: it is missing\n"


def test_a_users_error_of_all_ranks_is_told_once_on_each(nodes, script):
    path = script(MISTAKE + "    time.sleep(rank)\n    raise UserError('no such network')\nrun_cli(main)")
    assert results(nodes.launch_both(path)) == [(2, "error: no such network\n")] * 2


def test_all_end_with_the_same_status_though_one_ended_well_before(nodes, script):
    path = script("if rank == 1:\n    time.sleep(1)\n    sys.exit(5)")
    ends = results(nodes.launch_both(path))
    assert [code for code, _ in ends] == [5, 5]
    assert ends[0][1] == "node 1: rank 1 failed (exit status 5).\n"


@pytest.mark.parametrize("node", [0, 1])
def test_a_launcher_that_is_killed_ends_the_other(nodes, script, tmp_path, node):
    processes = nodes.launch_both(script("time.sleep(100)"))
    wait_for_ranks(tmp_path, 2)
    processes[node].kill()
    status, printed = results(processes)[1 - node]
    assert (status, printed) == (1, f"node {node}: its launcher at 10.0.0.{node + 1} is gone.\n")


def test_a_machine_that_vanishes_ends_the_other_within_a_minute(nodes, script, tmp_path):
    processes = nodes.launch_both(script("time.sleep(100)"))
    wait_for_ranks(tmp_path, 2)
    nodes.cut_the_cable()
    begin = time.monotonic()
    ends = results(processes, seconds=60)
    assert time.monotonic() - begin < 50
    for node, (status, printed) in enumerate(ends):
        assert status == 1
        assert f"node {1 - node}: nothing is heard from 10.0.0.{2 - node} any more" in printed


def test_ctrl_c_on_one_node_is_waited_for_on_both(nodes, script, tmp_path):
    """As in training: the signal reaches the ranks of one node, and the ranks of all agree on it."""
    path = script("def stop(*_): (here / 'asked').touch()\nsignal.signal(signal.SIGINT, stop)\n"
                  "while not (here / 'asked').exists(): time.sleep(0.05)\n"
                  "time.sleep(0.2 + rank)\n(here / f'saved{rank}').touch()\nsys.exit(130)")  # fmt: skip
    processes = nodes.launch_both(path)
    wait_for_ranks(tmp_path, 2)
    time.sleep(0.2)
    processes[1].send_signal(signal.SIGINT)
    assert results(processes) == [(130, "")] * 2
    assert (tmp_path / "saved0").exists() and (tmp_path / "saved1").exists()


@pytest.mark.parametrize("different", [{"NPROC": "2"}, {"NNODES": "3"}])
def test_nodes_started_differently_are_refused_on_both(nodes, script, different):
    path = script("print('never')")
    processes = [nodes.launch(0, path), nodes.launch(1, path, **different)]
    (one, first), (two, second) = results(processes)
    assert (one, two) == (2, 2)
    assert first == second and "Node 1 (10.0.0.2) has NNODES=" in first


def test_a_launcher_that_was_started_again_takes_its_place(nodes, script):
    path = script("print('here')")
    early = nodes.launch(1, path, NNODES="3")
    first = nodes.launch(0, path, NNODES="3")
    time.sleep(1.5)
    again = nodes.launch(1, path, NNODES="3")
    said = "error: Another launcher (10.0.0.2) has connected as NODE_RANK=1: give each machine its own.\n"
    assert results([early]) == [(2, said)]
    assert first.poll() is None and again.poll() is None
    third = nodes.launch(1, path, NNODES="3", NODE_RANK="2")
    assert results([first, again, third]) == [(0, "here\n")] * 3


def test_who_is_waited_for_is_said(nodes, script):
    path = script("print('here')")
    first = nodes.launch(0, path)
    time.sleep(6)
    second = nodes.launch(1, path)
    (_, one), (_, two) = results([first, second])
    assert (one, two) == ("Waiting for node 1 to connect to port 29500 ...\nhere\n", "here\n")


def test_strangers_at_the_port_are_ignored(script, nodes):
    """A port scanner, or a launcher of something else."""
    path = script("print('here')")
    first = nodes.launch(0, path)
    stranger = "import socket, time; time.sleep(1); socket.create_connection(('10.0.0.1', 29500)).sendall(b'GET /\\n')"
    nodes.run(1, stranger)
    second = nodes.launch(1, path)
    assert results([first, second]) == [(0, "here\n")] * 2
