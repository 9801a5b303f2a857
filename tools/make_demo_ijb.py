"""Draw a small IJB-B or IJB-C in the layout of the real one, which only those who signed for it may have.

python tools/make_demo_ijb.py --out demo_data/IJB_release
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()

from evaluation.ijb_meta import GALLERIES
from preparation.drawn.ijb import DemoIjb, make_demo_ijb
from utils.cli import run_cli


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the benchmarks, such as IJB_release")
    parser.add_argument("--target", choices=GALLERIES, default="IJBC", help="(default %(default)s)")
    parser.add_argument("--people", type=int, default=72, help="14 images of each (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other people (default %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace a demo benchmark made with other parameters")
    args = parser.parse_args(arguments)
    made = make_demo_ijb(args.out, DemoIjb(args.target, args.people, args.seed), args.force)
    print(f"{args.out / args.target}: {'written' if made else 'already there, left as it is'}.")


if __name__ == "__main__":
    run_cli(main)
