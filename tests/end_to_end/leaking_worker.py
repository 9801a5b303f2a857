"""train.py, which keeps a file, a thread and 200 kB for every third step."""

import os
import threading

from engine.hooks import Hook
from engine.trainer import Trainer
from train import main
from utils.cli import run_cli

_fit = Trainer.fit


class Leak(Hook):
    def __init__(self) -> None:
        self._kept = []

    def after_step(self, trainer: Trainer) -> None:
        if trainer.step % 3 == 0:
            self._kept.append((os.open(os.devnull, os.O_RDONLY), b"x" * 200_000))
            threading.Thread(target=threading.Event().wait, daemon=True).start()


def fit(self, hooks: list) -> bool:
    return _fit(self, [*hooks, Leak()])


Trainer.fit = fit

if __name__ == "__main__":
    run_cli(main, hard_exit=True)
