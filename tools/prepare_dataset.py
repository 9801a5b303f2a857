"""Make a training set (OFRecord parts) from recordio, person folders, archives, a WebDataset, a list, or OFRecord.

python tools/prepare_dataset.py faces_emore --out datasets/emore/ofrecord
python tools/prepare_dataset.py people/ --out datasets/people/ofrecord
python tools/prepare_dataset.py people.tar --out datasets/people/ofrecord
python tools/prepare_dataset.py 'shards/ms1mv3-{0000..0099}.tar' --out datasets/ms1mv3/ofrecord
python tools/prepare_dataset.py train_list.txt --root images/ --out datasets/mine/ofrecord
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from preparation.convert.to_ofrecord import Settings
from preparation.sources.formats import FORMATS, find_format
from tools.conversion import LABEL_HELP, STOPPED, add_options, run_conversion
from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a folder, a .tar or .zip, a pattern of shards, or a file that lists images",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write the parts into")
    parser.add_argument("--format", choices=FORMATS, help="what SOURCE is (default: found out)")
    parser.add_argument("--root", type=Path, help="where the relative names of a list begin (the list's folder)")
    parser.add_argument("--label", help=LABEL_HELP)
    add_options(parser)
    values = vars(parser.parse_args(arguments))
    source, output, format = (values.pop(name) for name in ("source", "out", "format"))
    run_conversion(Settings(source, output, format=format or find_format(source), **values))


if __name__ == "__main__":
    run_cli(main, stopped=STOPPED)
