"""Runs processes side by side that end together: one that fails ends the others, and none outlives this one."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

from launch.epoch_signal import EPOCH_SIGNAL
from launch.process import ABORTED, STOPPED, USER_ERROR, Process

_STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@dataclass(frozen=True)
class Grace:
    """Seconds."""

    failed: float = 10.0  # from SIGTERM to SIGKILL, for the others when one has failed
    reported: float = (
        5.0  # before that SIGTERM, where the first to fail has said why: the others are about to end as well
    )
    stopped: float = 60.0  # from a signal that was passed on to SIGKILL: a checkpoint may be being written


@dataclass(frozen=True)
class Failure:
    """Of one of the others: who, the exit status and the reason."""

    who: str
    status: int
    sentence: str


@dataclass(frozen=True)
class _Deadline:
    """A moment of `time.monotonic`, and what is done then to the processes that still run."""

    moment: float
    action: Callable[[], None]


class OtherNodes:
    """Those elsewhere that run and end together with our processes. Here: nobody; on several nodes: `launch.nodes`."""

    look: float | None = None  # seconds between two looks at them

    def failures(self) -> list[Failure]:
        return []

    def running(self) -> bool:
        return False

    def tell_failure(self, status: int, sentence: str) -> None:
        """That one of our processes has failed."""

    def tell_end(self) -> None:
        """That none of ours is running any more."""


def run_together(processes: list[Process], grace: Grace, others: OtherNodes | None = None) -> int:
    """Runs them to their end, and to that of the others elsewhere. The status of the first that failed, or 0."""
    return _Watch(processes, grace, others or OtherNodes()).run()


class _Watch:
    def __init__(self, processes: list[Process], grace: Grace, others: OtherNodes):
        self.processes, self.grace, self.others = processes, grace, others
        self.running: list[Process] = []
        self.status = 0
        self.reason: str | None = None  # of a failure that nobody has reported
        self.reported = ""  # the user's error that a process has reported
        self.others_failed = False
        self.left = False  # the others, by a signal
        self.stopped_at: float | None = None  # when a signal to stop was passed on
        self.deadline: _Deadline | None = None  # when grace ends with those still running

    def run(self) -> int:
        with _signals_held() as outer_mask:
            try:
                for process in self.processes:
                    process.start(outer_mask | {EPOCH_SIGNAL})
                    self.running.append(process)
                readers = self._start_readers()
                while self.running:
                    self._wait()
                    self._notice_ends()
                    self._notice_others()
                self.deadline = None
                self.others.tell_end()
                while self.others.running() and not self.left:
                    self._wait()
                self._notice_others()
                self._settle_status()
                for reader in readers:
                    reader.join(timeout=1)  # what was written before the end
                self._show_errors()
                if self.reason:
                    _say(self.reason)  # last, since OneFlow's ranks print stacks when one of them is gone
                self._show_others()
            finally:
                self._kill()
        return self.status

    def _start_readers(self) -> list[threading.Thread]:
        readers = [threading.Thread(target=p.pass_output_on, daemon=True) for p in self.running if p.prefixed]
        for reader in readers:
            reader.start()
        return readers

    def _show_errors(self) -> None:
        """Of the others, unless the first process has reported its own: a mistake in a config is every rank's."""
        if self.processes[0].status != USER_ERROR:
            for process in self.processes:
                os.write(sys.stderr.fileno(), b"".join(process.errors))

    def _settle_status(self) -> None:
        """The reason's: where ours only lost the others, theirs."""
        if self.status == ABORTED:
            self.status = next((f.status for f in self.others.failures() if f.status != ABORTED), ABORTED)

    def _show_others(self) -> None:
        for failure in self.others.failures():
            if failure.status == ABORTED and self.status != ABORTED:
                continue
            known = self.stopped_at is not None if failure.status == STOPPED else failure.sentence == self.reported
            if not known:  # a mistake in a config is every node's
                _say(f"{failure.who}: {failure.sentence}.")

    def _wait(self) -> None:
        """For a signal (a process' end is one) or the deadline; with others elsewhere, for a moment at most."""
        held = _STOP_SIGNALS | {EPOCH_SIGNAL, signal.SIGCHLD}
        moments = [] if self.others.look is None else [self.others.look]
        if self.deadline is not None:
            moments.append(max(0.0, self.deadline.moment - time.monotonic()))
        info = signal.sigtimedwait(held, min(moments)) if moments else signal.sigwaitinfo(held)
        if info is not None and info.si_signo in _STOP_SIGNALS:
            self._stop(info.si_signo)
        elif info is not None and info.si_signo == EPOCH_SIGNAL:
            for process in self.running:
                process.signal(EPOCH_SIGNAL)
        elif info is None and self.deadline is not None and time.monotonic() >= self.deadline.moment:
            due, self.deadline = self.deadline, None
            due.action()

    def _stop(self, number: int) -> None:
        self.left = not self.running
        if self.stopped_at is None:
            self.stopped_at = time.monotonic()
            for process in self.running:
                process.signal(number)
            if self.deadline is None:
                self._later(self.grace.stopped, self._give_up)
        elif time.monotonic() - self.stopped_at > 1:  # sooner it is the same one again: timeout(1) sends it twice
            self._kill()

    def _notice_ends(self) -> None:
        ended = [process for process in self.running if process.ended()]
        for process in sorted(ended, key=lambda process: process.status == ABORTED):  # the reason first
            self.running.remove(process)
            if process.status == USER_ERROR:
                self.reported = self.reported or process.noted
            if process.status != 0 and self.status == 0:
                self.status = process.status
                self._first_failure(process)

    def _first_failure(self, process: Process) -> None:
        reported = process.status in (USER_ERROR, STOPPED)
        sentence = (process.noted if reported else "") or process.end
        self.others.tell_failure(process.status, sentence)
        if self.stopped_at is not None:
            return
        if reported:
            self._others_are_about_to_end(process.status)
            return
        self.reason = process.end + ("; the others were ended." if self.running else ".")
        self._terminate()

    def _notice_others(self) -> None:
        failures = self.others.failures()
        if not failures or self.others_failed:
            return
        self.others_failed = True
        if self.status != 0:  # ours are about to end
            return
        self.status = failures[0].status
        if self.status in (USER_ERROR, STOPPED):
            self._others_are_about_to_end(self.status)
        else:
            self._terminate()

    def _others_are_about_to_end(self, status: int) -> None:
        if status == STOPPED:  # the ranks have agreed on it, and may be writing a checkpoint
            self._later(self.grace.stopped, self._give_up)
        else:
            self._later(self.grace.reported, self._terminate)

    def _terminate(self) -> None:
        for process in self.running:
            process.signal(signal.SIGTERM)
        self._later(self.grace.failed, self._kill)

    def _give_up(self) -> None:
        names = ", ".join(process.name for process in self.running)
        _say(f"{names} did not end within {self.grace.stopped:g} s: killed.")
        self._kill()

    def _kill(self) -> None:
        for process in self.running:
            process.kill()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self.deadline = _Deadline(time.monotonic() + seconds, action)


@contextmanager
def _signals_held():
    """Inside, the signals of interest are fetched by sigwait instead of interrupting; yields the mask from outside."""
    held = _STOP_SIGNALS | {EPOCH_SIGNAL, signal.SIGCHLD}
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
