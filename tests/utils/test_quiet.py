"""What libraries write to descriptor 2: what means nothing is dropped, and whatever else they say is seen."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from utils.quiet import is_noise

REPO = Path(__file__).resolve().parents[2]
IBVERBS = b"libibverbs not available, ibv_fork_init skipped"
NO_CARD = (
    b"E20261127 02:41:01.758690 24244 cuda_device_manager_factory.cpp:65] Failed to get cuda runtime version: CUDA"
)
REAL = b"F20261127 02:41:02.000000 24244 rpc_client.cpp:190] Check failed: no answer"
BEGIN = """
import os, signal, sys, time, warnings
from utils.errors import UserWarned
from utils import quiet
from utils.quiet import drain, quiet_terminal
quiet_terminal(os.environ)
noise = {noise!r}
"""


def run(body, **variables):
    code = BEGIN.format(noise=IBVERBS + b"\n") + body
    environ = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run([sys.executable, "-c", code], cwd=REPO, env=environ, capture_output=True, timeout=60)


def test_noise():
    assert is_noise(IBVERBS, has_driver=True)
    assert is_noise(NO_CARD, has_driver=False)
    assert not is_noise(NO_CARD, has_driver=True)  # with a card it says that the driver is too old
    assert not is_noise(REAL, has_driver=False)


def test_all_but_noise_is_passed_on():
    done = run("os.write(2, b'one\\n' + noise + b'two\\nand a half'); print('three'); drain(); sys.exit(3)")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"three\n", b"one\ntwo\nand a half")


def test_last_words_of_a_crash_are_seen():
    done = run(f"os.write(2, noise + {REAL!r}); os.abort()")
    assert (done.returncode, done.stderr) == (-6, REAL)


def test_a_line_without_end_is_not_held_back():
    code = BEGIN.format(noise=b"") + "os.write(2, b'waiting'); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPO, stderr=subprocess.PIPE) as process:
        assert process.stderr.read(7) == b"waiting"
        process.kill()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2"])
def test_a_signal_to_all_of_the_job_loses_nothing(name):
    done = run(f"os.kill(quiet._filter[0], signal.{name}); time.sleep(0.2); os.write(2, b'still here')")
    assert (done.returncode, done.stderr) == (0, b"still here")


def test_a_full_terminal_that_does_not_block_is_waited_for():
    code = BEGIN.format(noise=b"") + "os.write(2, b'x' * 300_000)"
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPO, stderr=writing) as process:
        os.close(writing)
        time.sleep(0.5)
        with open(reading, "rb") as end:
            assert len(end.read()) == 300_000
        assert process.wait(60) == 0


def test_a_program_outlives_its_terminal():
    code = BEGIN.format(noise=b"") + "[os.write(2, b'x' * 300_000 + b'\\n') for _ in range(3)]"
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPO, stderr=writing) as process:
        os.close(writing)
        assert process.wait(60) == 0


@pytest.mark.parametrize("call", ["pipe", "fork"])
def test_without_processes_or_descriptors_all_is_shown(call):
    body = f"""
def fail(): raise OSError(11, 'no more')
quiet.drain()
before = os.listdir('/proc/self/fd')
os.{call} = fail
quiet_terminal(os.environ)
assert os.listdir('/proc/self/fd') == before
os.write(2, noise)
"""
    done = run(body)
    assert (done.returncode, done.stderr) == (0, IBVERBS + b"\n")


def test_pythons_own_stderr_is_the_terminals():
    done = run("print('mine', file=sys.stderr); print(sys.stderr.fileno() != 2, file=sys.stderr)")
    assert done.stderr == b"mine\nTrue\n"


def test_who_asks_for_everything_gets_it():
    assert run("os.write(2, noise)", GLOG_minloglevel="0").stderr == IBVERBS + b"\n"


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("UserWarning", b""),
        ("DeprecationWarning", b""),
        ("UserWarned", b"warning: slow\n"),
        ("RuntimeWarning", b"slow"),
    ],
)
def test_warnings_of_packages_are_not_shown(kind, shown):
    stderr = run(f"warnings.warn('slow', {kind})").stderr
    assert stderr == shown or (shown == b"slow" and shown in stderr)


@pytest.mark.parametrize(("rank", "name"), [("0", b""), ("1", b"[rank 1] ")])
def test_the_launcher_kills_no_last_words(rank, name, tmp_path):
    program = tmp_path / "rank.py"
    wait = f"if os.environ['RANK'] != {rank!r}: time.sleep(60)\n"
    program.write_text(BEGIN.format(noise=b"") + wait + f"os.write(2, {REAL!r} + b'\\n'); os.abort()\n")
    command = [sys.executable, "-m", "launch", "--nproc", "2", str(program)]
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO)}
    done = subprocess.run(command, cwd=REPO, env=environ, capture_output=True, timeout=60)
    assert name + REAL in done.stderr.splitlines()


def test_what_a_launcher_starts_has_the_terminal(tmp_path):
    program = tmp_path / "rank.py"
    program.write_text(BEGIN.format(noise=b"") + "os.write(2, b'a terminal: %d\\n' % sys.stderr.isatty())\n")
    launcher = BEGIN.format(noise=b"") + (
        f"from launch.launcher import main; sys.exit(main(['--nproc', '1', {str(program)!r}], os.environ))"
    )
    ours, terminal = os.openpty()
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", launcher], cwd=REPO, env=environ, stderr=terminal, timeout=60)
    os.close(terminal)
    assert done.returncode == 0
    assert os.read(ours, 1 << 16) == b"a terminal: 1\r\n"
    os.close(ours)
