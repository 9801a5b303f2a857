"""The run's log: lines on the terminal (above a tqdm bar) and the same lines in a file, from rank 0."""

import logging
from pathlib import Path

from utils.progress import write_above


class _TqdmHandler(logging.Handler):
    """Writes above a progress bar rather than through it; lines marked `file_only` repeat what the bar shows."""

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "file_only", False):
            return
        write_above(self.format(record))


_FORMAT = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")


def make_logger(is_main: bool) -> logging.Logger:
    """A logger that prints on the main rank, and says nothing on the others."""
    logger = logging.getLogger("train")
    logger.handlers.clear()
    logger.propagate = False
    logger.setLevel(logging.INFO if is_main else logging.CRITICAL)
    if is_main:
        _add(logger, _TqdmHandler())
    return logger


def add_file(logger: logging.Logger, file: Path) -> None:
    """Appends what follows to `file`, too. Raises OSError."""
    _add(logger, logging.FileHandler(file, encoding="utf-8"))


def _add(logger: logging.Logger, handler: logging.Handler) -> None:
    handler.setFormatter(_FORMAT)
    logger.addHandler(handler)
