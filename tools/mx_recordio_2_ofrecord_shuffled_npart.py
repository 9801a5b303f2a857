"""The name by which arcface_oneflow's users know tools/mx_recordio_2_ofrecord.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from tools.mx_recordio_2_ofrecord import main

if __name__ == "__main__":
    sys.exit(main())
