"""Convert a set of MXNet recordio (train.rec, train.idx, property) into OFRecord parts for training.

python tools/mx_recordio_2_ofrecord.py --data_dir faces_emore --out faces_emore/ofrecord
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from preparation.convert.to_ofrecord import Settings
from tools.conversion import STOPPED, add_options, run_conversion
from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", type=Path, required=True, help="folder with train.rec, train.idx and property")
    out = ("--out", "--output_filepath")
    parser.add_argument(*out, dest="output", metavar="DIR", type=Path, required=True, help="folder to write into")
    add_options(parser)
    values = vars(parser.parse_args(arguments))
    run_conversion(Settings(source=values.pop("data_dir"), output=values.pop("output"), **values))


if __name__ == "__main__":
    run_cli(main, stopped=STOPPED)
