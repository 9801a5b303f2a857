"""The signal by which a user asks a run to end after the epoch it is in. Launchers pass it on; ranks hold it from their
first moment on, since it would end a process that has not said yet what it means.
"""

import signal

EPOCH_SIGNAL = signal.SIGUSR1


def hold_epoch_signal() -> None:
    """Keeps the signal until it is unblocked (engine/epoch_stop.py) or waited for. Before other threads begin."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {EPOCH_SIGNAL})
