"""train.py, in which every rank has a disk of its own: each finds another folder under the path of `output`."""

import os
import sys

from engine import checkpoint
from train import main
from utils.cli import run_cli

checkpoint._APPEARS = 1.0

if __name__ == "__main__":
    sys.argv = [argument.replace("RANK", os.environ["RANK"]) for argument in sys.argv]
    run_cli(main, hard_exit=True)
