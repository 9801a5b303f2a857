"""Runs processes side by side that end together: one that fails ends the others, and none outlives this one.

Each process leads a session of its own: Ctrl-C then reaches it once, through us, and all it leaves running can be
found and killed. If we are killed, the kernel kills it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

# Exit statuses whose reason the process has told itself: a user's error, Ctrl-C.
TOLD = (2, 128 + signal.SIGINT)

_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_PR_SET_PDEATHSIG = 1  # from sys/prctl.h
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Patience:
    """Seconds."""

    failed: float = 10.0  # from SIGTERM to SIGKILL, for the others when one has failed
    told: float = 5.0  # before that SIGTERM, where the first to fail has told why: the others are about to end as well
    stopped: float = 60.0  # from a signal that was passed on to SIGKILL: a checkpoint may be being written


@dataclass
class Process:
    name: str
    command: list[str]
    environment: dict[str, str]
    prefixed: bool = False  # its output goes to stderr, each line with its name; else it has our stdout and stderr
    popen: subprocess.Popen | None = field(default=None, init=False)
    errors: list[bytes] = field(default_factory=list, init=False)  # a user's error as run_cli prints it, held back

    def start(self, signal_mask: set[int]) -> None:
        launcher = os.getpid()

        def in_the_child() -> None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != launcher:  # it died before the call
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, signal_mask)

        self.popen = subprocess.Popen(
            self.command,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self.prefixed else None,
            stderr=subprocess.STDOUT if self.prefixed else None,
            start_new_session=True,
            preexec_fn=in_the_child,
        )

    def pass_output_on(self) -> None:
        """To its end, or until nobody reads our stderr: closing the pipe then tells the process."""
        with suppress(OSError), self.popen.stdout as lines:
            for line in lines:
                named = b"[%s] %s\n" % (self.name.encode(), line.rstrip(b"\n"))
                if line.startswith(b"error: "):
                    self.errors.append(named)
                else:
                    os.write(sys.stderr.fileno(), named)

    def signal(self, number: int) -> None:
        """To the process alone; it knows how to end what it has started."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """With all it has started."""
        os.killpg(self.popen.pid, signal.SIGKILL)

    def ended(self) -> bool:
        """Whether it has ended; if so, nothing of it is left."""
        if os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self.kill()  # before its number is given up by wait()
        self.popen.wait()
        return True

    @property
    def status(self) -> int:
        """As a shell has it: 128 + the number of the signal that ended it."""
        code = self.popen.returncode
        return 128 - code if code < 0 else code

    @property
    def end(self) -> str:
        code = self.popen.returncode
        if code >= 0:
            return f"{self.name} failed (exit status {code})"
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"{self.name} was ended by {signal.Signals(-code).name}{hint}"


def run_together(processes: list[Process], patience: Patience) -> int:
    """Runs them to their end. The status of the first that failed, or 0."""
    return _Watch(processes, patience).run()


class _Watch:
    def __init__(self, processes: list[Process], patience: Patience):
        self.processes, self.patience = processes, patience
        self.running: list[Process] = []
        self.status = 0
        self.reason: str | None = None  # of a failure that nobody has told
        self.stopped_at: float | None = None  # when a signal to stop was passed on
        self.deadline: float | None = None  # when patience ends with those still running ...
        self.at_deadline: Callable[[], None] | None = None  # ... and what is done to them then

    def run(self) -> int:
        with _signals_held() as outer_mask:
            try:
                for process in self.processes:
                    process.start(outer_mask)
                    self.running.append(process)
                readers = self._start_readers()
                while self.running:
                    self._wait()
                    self._notice_ends()
                for reader in readers:
                    reader.join(timeout=1)  # what was written before the end
                self._show_errors()
                if self.reason:
                    _say(self.reason)  # last, since OneFlow's ranks print stacks when one of them is gone
            finally:
                self._kill()
        return self.status

    def _start_readers(self) -> list[threading.Thread]:
        readers = [threading.Thread(target=p.pass_output_on, daemon=True) for p in self.running if p.prefixed]
        for reader in readers:
            reader.start()
        return readers

    def _show_errors(self) -> None:
        """Of the others, unless the first process has told its own: a mistake in a config is every rank's."""
        if self.processes[0].status != 2:
            for process in self.processes:
                os.write(sys.stderr.fileno(), b"".join(process.errors))

    def _wait(self) -> None:
        """For a signal (a process' end is one) or the deadline."""
        held = _STOP_SIGNALS | {signal.SIGCHLD}
        if self.deadline is None:
            number = signal.sigwait(held)
        else:
            info = signal.sigtimedwait(held, max(0.0, self.deadline - time.monotonic()))
            if info is None:
                self.deadline = None
                self.at_deadline()
                return
            number = info.si_signo
        if number in _STOP_SIGNALS:
            self._stop(number)

    def _stop(self, number: int) -> None:
        if self.stopped_at is None:
            self.stopped_at = time.monotonic()
            for process in self.running:
                process.signal(number)
            if self.deadline is None:
                self._later(self.patience.stopped, self._give_up)
        elif time.monotonic() - self.stopped_at > 1:  # sooner it is the same one again: timeout(1) sends it twice
            self._kill()

    def _notice_ends(self) -> None:
        for process in [process for process in self.running if process.ended()]:
            self.running.remove(process)
            if process.status != 0 and self.status == 0:
                self.status = process.status
                if self.stopped_at is None:
                    self._first_failure(process)

    def _first_failure(self, process: Process) -> None:
        if process.status in TOLD:
            self._later(self.patience.told, self._terminate)
            return
        self.reason = process.end + ("; the others were ended." if self.running else ".")
        self._terminate()

    def _terminate(self) -> None:
        for process in self.running:
            process.signal(signal.SIGTERM)
        self._later(self.patience.failed, self._kill)

    def _give_up(self) -> None:
        names = ", ".join(process.name for process in self.running)
        _say(f"{names} did not end within {self.patience.stopped:g} s: killed.")
        self._kill()

    def _kill(self) -> None:
        for process in self.running:
            process.kill()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self.deadline, self.at_deadline = time.monotonic() + seconds, action


@contextmanager
def _signals_held():
    """Inside, the signals of interest are fetched by sigwait instead of interrupting; yields the mask from outside."""
    held = _STOP_SIGNALS | {signal.SIGCHLD}
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # nohup
        held -= {signal.SIGHUP}
    outer_mask = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    # A script's background jobs begin with SIGINT ignored, which the processes would inherit.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield outer_mask
    finally:
        while signal.sigtimedwait(held, 0):
            pass
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, outer_mask)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
