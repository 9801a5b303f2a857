"""Write an OFRecord set as MXNet recordio (train.rec, train.idx, property), as InsightFace's training reads it.

python tools/ofrecord_2_recordio.py datasets/emore/ofrecord --out faces_emore
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from preparation.convert.to_recordio import EXACT, write_recordio
from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="DIR", help="folder of the set, with its dataset.json")
    parser.add_argument("--out", type=Path, required=True, help="folder to make")
    parser.add_argument("--force", action="store_true", help="replace a folder that has a train.rec")
    args = parser.parse_args(arguments)
    images, identities = write_recordio(args.source, args.out, args.force)
    print(f"{images:,} images of {identities:,} identities in {args.out}")
    if images + identities >= EXACT:
        print(f"Its header is rounded: InsightFace reads keys up to {EXACT} exactly; this program's tools read all.")


if __name__ == "__main__":
    run_cli(main)
