"""The figures of a run, as a file that any program reads and as TensorBoard events."""

import json
import logging
from pathlib import Path

from utils.errors import UserError
from utils.files import write_whole

HISTORY = "history.jsonl"


class Records:
    """Writes named numbers of steps to `output/history.jsonl`, an object a line, and to `output/tensorboard`.

    step: where the run begins; what a course of before wrote for later steps is taken out, so that a resumed run
    leaves the history of an undisturbed one. A disk that is full costs figures, not the run. On the main rank alone.
    """

    def __init__(self, output: Path, step: int, tensorboard: bool, logger: logging.Logger) -> None:
        self._logger, self._complained, self._writer = logger, False, None
        path = output / HISTORY
        write_whole(path, b"".join(line + b"\n" for line in _lines(path) if _step_of(line) <= step))
        self._file = path.open("ab", buffering=0)
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._writer = SummaryWriter(str(output / "tensorboard"), purge_step=step)

    def add(self, step: int, values: dict[str, float]) -> None:
        """values: by names such as "train/loss"."""
        line = json.dumps({"step": step, **values}) + "\n"
        try:
            self._file.write(line.encode())
            if self._writer:
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)
        except OSError as error:
            self._complain(error)

    def close(self) -> None:
        try:
            self._file.close()
            if self._writer:
                self._writer.close()
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._logger.warning(f"Figures of this run could not be written: {error}")
        self._complained = True


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _step_of(line: bytes) -> float:
    """The step of a line; beyond all steps if it is none, as the last one of a killed run may be."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
