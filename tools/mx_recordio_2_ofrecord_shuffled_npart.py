"""The name by which arcface_oneflow's users know tools/mx_recordio_2_ofrecord.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from tools.conversion import STOPPED
from tools.mx_recordio_2_ofrecord import main
from utils.cli import run_cli

if __name__ == "__main__":
    run_cli(main, stopped=STOPPED)
