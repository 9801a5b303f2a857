"""train.py, which says when the loss of a step is there, whatever the host does meanwhile."""

import queue
import threading

from engine.hooks import Hook
from engine.trainer import Trainer
from train import main
from utils.cli import run_cli

_fit = Trainer.fit


class Watch(Hook):
    """Reads every loss, in a thread of its own."""

    def __init__(self) -> None:
        self._losses: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def after_step(self, trainer: Trainer) -> None:
        self._losses.put((trainer.step, trainer.loss))

    def _read(self) -> None:
        while True:
            step, loss = self._losses.get()
            loss.to_local().numpy()
            print("loss of step", step, flush=True)


def fit(self, hooks: list) -> bool:
    return _fit(self, [*hooks, Watch()] if self.runtime.is_main else hooks)


Trainer.fit = fit

if __name__ == "__main__":
    run_cli(main, hard_exit=True)
