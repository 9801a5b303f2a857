"""A process that somebody watches: its output, its end and the reason of that.

Each leads a session of its own: Ctrl-C then reaches it once, through us, and all it leaves running can be found and
killed. If we are killed, the kernel kills it.
"""

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# Exit statuses whose reason the process has reported itself.
USER_ERROR, STOPPED = 2, 128 + signal.SIGINT
ABORTED = 128 + signal.SIGABRT  # how OneFlow ends a rank that finds another one gone

_PR_SET_PDEATHSIG = 1  # from sys/prctl.h
_libc = ctypes.CDLL(None)


@dataclass
class Process:
    name: str
    command: list[str]
    environment: dict[str, str]
    prefixed: bool = False  # its output goes to stderr, each line with its name; else it has our stdout and stderr
    note: Path | None = None  # where it may leave the reason of its failure, in a sentence
    popen: subprocess.Popen = field(init=False)  # from `start` on
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
            stderr=subprocess.STDOUT if self.prefixed else sys.stderr,  # not the pipe to our filter (utils/quiet.py)
            start_new_session=True,
            preexec_fn=in_the_child,
        )

    def pass_output_on(self) -> None:
        """To its end, or until nobody reads our stderr: closing the pipe then tells the process."""
        output = self.popen.stdout
        if output is None:  # it has ours
            return
        with suppress(OSError), output as lines:
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
    def noted(self) -> str:
        with suppress(OSError):
            return self.note.read_text(errors="replace") if self.note else ""
        return ""

    @property
    def end(self) -> str:
        code = self.popen.returncode
        if code == STOPPED:
            return f"{self.name} was stopped"
        if code >= 0:
            return f"{self.name} failed ({self.noted or f'exit status {code}'})"
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"{self.name} was ended by {signal.Signals(-code).name}{hint}"
