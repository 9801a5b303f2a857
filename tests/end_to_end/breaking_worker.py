"""train.py, in which the rank BREAKING_RANK meets a mistake of ours after the fourth batch."""

import os

from data.loader import SyntheticLoader
from train import main
from utils.cli import run_cli

_batches = SyntheticLoader.batches


def breaking(self, start, stop):
    for number, batch in enumerate(_batches(self, start, stop)):
        if number == 4 and self.rank == int(os.environ["BREAKING_RANK"]):
            raise IndexError("batch 4 out of range")
        yield batch


SyntheticLoader.batches = breaking

if __name__ == "__main__":
    run_cli(main, hard_exit=True)
