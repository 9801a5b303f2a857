import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launch.launcher import Layout, _claim_port, threads_per_rank

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(tmp_path):
    """Writes a program for the ranks; `rank` is known in it."""

    def write(body):
        path = tmp_path / "rank.py"
        path.write_text(
            "import os, signal, subprocess, sys, time\nfrom pathlib import Path\n"
            f"rank, here = int(os.environ['RANK']), Path({str(tmp_path)!r})\n"
            "(here / f'pid{rank}').write_text(str(os.getpid()))\n" + body
        )
        return str(path)

    return write


@pytest.fixture
def environ(tmp_path):
    """The environment of the launcher: no card is visible, nothing about ranks is set."""
    names = ("NPROC", "NNODES", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    kept = {key: value for key, value in os.environ.items() if key not in names}
    return kept | {"PATH": f"{tmp_path}:/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def start(environ):
    started = []

    def start(*arguments, **variables):
        process = subprocess.Popen(
            [sys.executable, "-m", "launch", *arguments],
            cwd=REPO,
            env=environ | variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def run(start):
    def run(*arguments, **variables):
        process = start(*arguments, **variables)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    return run


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(pid_file):
    try:
        stat = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text()
    except (OSError, ValueError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_each_rank_learns_who_it_is(run, script, tmp_path):
    path = script(
        "import json\n"
        "names = 'RANK LOCAL_RANK WORLD_SIZE MASTER_ADDR MASTER_PORT OMP_NUM_THREADS'.split()\n"
        "(here / f'env{rank}').write_text(json.dumps([sys.argv[1:]] + [os.environ[name] for name in names]))"
    )
    port = str(_claim_port(0))
    assert run("--nproc", "2", path, "--graph", "--", "lr=0.1", MASTER_PORT=port)[0] == 0
    for rank in range(2):
        arguments, *known = json.loads((tmp_path / f"env{rank}").read_text())
        assert arguments == ["--graph", "--", "lr=0.1"]
        assert known == [str(rank), str(rank), "2", "127.0.0.1", port, str(threads_per_rank(2))]


def test_ranks_are_numbered_over_the_nodes():
    own = Layout(nproc=2, nnodes=3, node_rank=1, master_addr="192.0.2.1", master_port=29500).environment(1)
    assert (own["RANK"], own["LOCAL_RANK"], own["WORLD_SIZE"], own["MASTER_ADDR"]) == ("3", "1", "6", "192.0.2.1")


def test_two_cpu_ranks_without_a_card_and_given_threads_are_kept(run, script):
    _, out, err = run(script("print(os.environ['WORLD_SIZE'], os.environ['OMP_NUM_THREADS'])"), OMP_NUM_THREADS="7")
    assert out == "2 7\n"
    assert err == "[rank 1] 2 7\n"


def test_a_rank_for_each_usable_card_and_only_those_are_seen(run, script, tmp_path):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'GPU-a, A100, 8.0'\necho 'GPU-b, H100, 9.0'\necho 'GPU-c, T4, 7.5'\n")
    smi.chmod(0o755)
    path = script("print(os.environ['WORLD_SIZE'], os.environ['CUDA_VISIBLE_DEVICES'])")
    _, out, err = run(path, CUDA_VISIBLE_DEVICES="0,1,2")
    assert out == "2 GPU-a,GPU-c\n"
    assert err.startswith("H100 (compute capability 9.0) is left out:")


def test_rank_0_speaks_for_itself_and_the_others_with_their_name(run, script):
    status, out, err = run("--nproc", "2", script("print('out', rank); print('err', rank, end='', file=sys.stderr)"))
    assert status == 0
    assert out == "out 0\n"
    assert sorted(err.replace("err 0", "").splitlines()) == ["[rank 1] err 1", "[rank 1] out 1"]


def test_a_terminal_stays_one_for_rank_0(environ, script):
    ours, theirs = os.openpty()
    # In one piece each: what unbuffered ranks write in several may mix.
    body = "print(f'{sys.stdout.isatty()} {sys.stderr.isatty()}' + chr(10), end='')"
    command = [sys.executable, "-m", "launch", script(body)]
    subprocess.run(command, cwd=REPO, env=environ, stdout=theirs, stderr=theirs, timeout=30, check=True)
    os.close(theirs)
    output = os.read(ours, 1000).decode()
    os.close(ours)
    assert "True True" in output
    assert "[rank 1] False False" in output


def test_one_that_fails_ends_the_others_and_its_status_is_handed_on(run, script, tmp_path):
    path = script("time.sleep(0.3)\nif rank == 1: sys.exit(7)\ntime.sleep(60)")
    begin = time.monotonic()
    status, _, err = run("--nproc", "3", path)
    assert time.monotonic() - begin < 5
    assert status == 7
    assert err == "rank 1 failed (exit status 7); the others were ended.\n"
    assert not any(alive(tmp_path / f"pid{rank}") for rank in range(3))


def test_one_that_does_not_heed_sigterm_is_killed_after_the_grace(run, script, tmp_path):
    path = script(
        "if rank == 0:\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    (here / 'ready').touch()\n"
        "    time.sleep(60)\n"
        "while not (here / 'ready').exists(): time.sleep(0.02)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    status, _, err = run("--nproc", "2", "--grace", "0.5", path)
    assert status == 128 + signal.SIGKILL
    assert err == "rank 1 was ended by SIGKILL (out of memory?); the others were ended.\n"
    assert not alive(tmp_path / "pid0")


def test_a_users_error_is_told_once_and_needs_no_more_words(run, script):
    path = script("time.sleep(0.3 * rank)\nprint('error: no such network', file=sys.stderr)\nsys.exit(2)")
    status, out, err = run("--nproc", "3", path)
    assert (status, out, err) == (2, "", "error: no such network\n")


def test_a_users_error_of_another_rank_is_not_lost(run, script):
    path = script("if rank == 1: sys.exit(print('error: part-00001 is missing', file=sys.stderr) or 2)")
    status, _, err = run("--nproc", "2", path)
    assert (status, err) == (2, "[rank 1] error: part-00001 is missing\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once_and_the_clean_end_waited_for(start, script, tmp_path, number):
    path = script(
        "def stop(number, frame):\n"
        "    print(f'signal {number}')\n"
        "    time.sleep(0.5)\n"
        "    (here / f'saved{rank}').touch()\n"
        "    sys.exit(130)\n"
        f"signal.signal({int(number)}, stop)\n"
        "(here / f'ready{rank}').touch()\n"
        "time.sleep(60)"
    )
    process = start("--nproc", "2", path)
    wait_for(lambda: all((tmp_path / f"ready{rank}").exists() for rank in range(2)))
    process.send_signal(number)
    time.sleep(0.1)
    process.send_signal(number)  # as timeout(1) does
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == (f"signal {int(number)}\n", f"[rank 1] signal {int(number)}\n")
    assert all((tmp_path / f"saved{rank}").exists() for rank in range(2))


def test_a_second_signal_ends_at_once(start, script, tmp_path):
    path = script("signal.signal(signal.SIGINT, signal.SIG_IGN)\n(here / f'ready{rank}').touch()\ntime.sleep(60)")
    process = start("--nproc", "2", path)
    wait_for(lambda: all((tmp_path / f"ready{rank}").exists() for rank in range(2)))
    process.send_signal(signal.SIGINT)
    time.sleep(1.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGKILL


def test_ranks_that_do_not_end_after_a_signal_are_named_and_killed(start, script, tmp_path):
    path = script(
        "if rank == 1: signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "(here / f'ready{rank}').touch()\nsys.stderr = None\ntime.sleep(60)"
    )
    process = start("--nproc", "2", "--stop_grace", "0.5", path)
    wait_for(lambda: all((tmp_path / f"ready{rank}").exists() for rank in range(2)))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert process.returncode == 130
    assert err == "rank 1 did not end within 0.5 s: killed.\n"


def test_no_rank_outlives_a_killed_launcher(start, script, tmp_path):
    process = start("--nproc", "2", script("(here / f'ready{rank}').touch()\ntime.sleep(60)"))
    wait_for(lambda: all((tmp_path / f"ready{rank}").exists() for rank in range(2)))
    process.kill()
    wait_for(lambda: not any(alive(tmp_path / f"pid{rank}") for rank in range(2)), seconds=3)


def test_what_a_rank_leaves_running_is_ended_with_it(run, script, tmp_path):
    path = script("child = subprocess.Popen(['sleep', '60'])\n(here / f'child{rank}').write_text(str(child.pid))")
    begin = time.monotonic()
    assert run("--nproc", "2", path)[0] == 0
    assert time.monotonic() - begin < 5
    wait_for(lambda: not any(alive(tmp_path / f"child{rank}") for rank in range(2)), seconds=1)


def test_the_preparation_runs_once_before_the_ranks(run, script, tmp_path):
    prepare = tmp_path / "prepare.py"
    prepare.write_text(f"open({str(tmp_path / 'prepared')!r}, 'a').write('once')")
    path = script("print((here / 'prepared').read_text())")
    assert run("--prepare", str(prepare), path)[:2] == (0, "once\n")


def test_a_preparation_that_fails_is_the_end(run, script, tmp_path):
    prepare = tmp_path / "prepare.py"
    prepare.write_text("raise SystemExit(3)")
    status, out, err = run("--prepare", str(prepare), script("print('never')"))
    assert (status, out) == (3, "")
    assert err == f"{prepare} failed (exit status 3).\n"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"NPROC": "0"}, "NPROC=0 is not a whole number"),
        ({"NPROC": "two"}, "NPROC=two is not a whole number"),
        ({"NNODES": "-1"}, "NNODES=-1 is not a whole number"),
        ({"NODE_RANK": "1"}, "NODE_RANK=1 is not a whole number from 0 to 0."),
        (
            {"NNODES": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"},
            "MASTER_ADDR=127.0.0.1 is every machine's own",
        ),
        ({"NNODES": "2"}, "NNODES > 1 needs MASTER_ADDR and MASTER_PORT"),
        ({"NNODES": "2", "MASTER_ADDR": "127.0.0.1"}, "NNODES > 1 needs MASTER_ADDR and MASTER_PORT"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT=70000 is not a whole number from 1 to 65535."),
        ({"MASTER_ADDR": "not an address"}, "MASTER_ADDR=not an address is not the address of a machine"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(run, script, variables, sentence):
    status, out, err = run(script("print('never')"), **variables)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def test_a_port_in_use_is_refused(run, script):
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = listener.getsockname()[1]
        status, _, err = run(script("print('never')"), MASTER_PORT=str(port))
    assert status == 2
    assert err == f"error: MASTER_PORT={port} cannot be used (Address already in use): choose another.\n"


def test_free_ports_differ():
    assert len({_claim_port(0) for _ in range(20)}) > 1
